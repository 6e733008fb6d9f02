import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { alternativeNames, namesOf } from '../../../ts/node/tls-names.ts'
import { Certificates } from '../../support/certificates.ts'

const certificates = new Certificates(t)

function namesIn(name: string, names: readonly string[] = []): string[] {
  const { certificate } = certificates.issue(name, { by: certificates.authority, names })
  return namesOf(new X509Certificate(readFileSync(certificate)))
}

t.test('a certificate is known by its common name and its alternative names', async (t) => {
  t.same(namesIn('vm1'), ['vm1'])
  const names = ['DNS:vm1.example', 'URI:urn:vm:1', 'email:vm1@example', 'IP:10.0.0.7', 'DNS:vm1']
  t.same(namesIn('vm1', names), ['vm1', 'vm1.example', 'urn:vm:1', 'vm1@example', '10.0.0.7'])
})

t.test('a name is compared as it is, whatever it has in it', async (t) => {
  t.same(namesIn('a, b'), ['a, b'])
  t.same(namesIn('x+y "z"'), ['x+y "z"'])
  t.same(namesIn('vm1', ['URI:urn:a']), ['vm1', 'urn:a'])
})

t.test('a name that looks like several is one', async (t) => {
  t.same(alternativeNames('DNS:a, DNS:b'), ['a', 'b'])
  t.same(alternativeNames('URI:"http://a, DNS:admin", DNS:b'), ['http://a, DNS:admin', 'b'])
  t.same(alternativeNames('DNS:"quote \\" and, DNS:c"'), ['quote " and, DNS:c'])
  t.same(alternativeNames('othername:<unsupported>, DirName:"CN=admin", DNS:b'), ['b'])
  t.same(alternativeNames('DNS:*.example'), ['*.example'], 'with no meaning to it')
  t.same(alternativeNames('DNS:a"b, DNS:c'), [], 'what cannot be read ends it')
  t.same(alternativeNames(''), [])
})
