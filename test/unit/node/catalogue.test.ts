import t from 'tap'
import { Catalogue } from '../../../ts/node/catalogue.ts'

const volumes = [{ volume: 4, name: 'data', size: 8192 }]

t.test('volumes of all aggregates behind an address are found by name', async (t) => {
  const catalogue = new Catalogue()
  t.same(catalogue.list(), [])
  catalogue.update('one', { serves: true, because: '', volumes })
  catalogue.update('two', { serves: true, because: '', volumes: [{ volume: 4, name: 'other', size: 4096 }] })
  t.match(catalogue.find('data'), {
    name: 'data',
    byteLength: 8192,
    volume: 4,
    aggregate: 'one',
    readOnly: false,
  })
  t.match(catalogue.find('other'), { aggregate: 'two' })
  t.equal(catalogue.find('none'), undefined)
  t.equal(catalogue.list().length, 2)
})

t.test('an aggregate that is not served any more has no exports', async (t) => {
  const catalogue = new Catalogue()
  catalogue.update('one', { serves: true, because: '', volumes })
  catalogue.update('one', { serves: false, because: 'it was taken over', volumes })
  t.equal(catalogue.find('data'), undefined)
  t.same(catalogue.list(), [])
})
