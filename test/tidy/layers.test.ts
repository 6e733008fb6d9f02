import t from 'tap'
import { layerViolations } from './layers.ts'
import { sources } from './project.ts'

t.test('dependencies run one way', async (t) => {
  const files = sources(['ts'], ['.ts'])
  t.ok(files.size > 20, 'the sources were found')
  t.same(layerViolations(files), [])
})

t.test('an import against the arrows is found', async (t) => {
  const violations = (path: string, text: string) => layerViolations(new Map([[path, text]]))
  t.same(violations('ts/log/ring.ts', "import { assert } from '../base/assert.ts'\n"), [])
  t.same(violations('ts/engine.ts', "import {\n  Ring,\n  type Slot,\n} from './log/ring.ts'\n"), [])
  t.same(violations('ts/base/units.ts', "import { Ring } from '../log/ring.ts'\n"), [
    'ts/base/units.ts: base may not import ts/log/ring.ts',
  ])
  t.same(violations('ts/log/ring.ts', "import type { Session } from '../partner/session.ts'\n"), [
    'ts/log/ring.ts: log may not import ts/partner/session.ts',
  ])
  t.same(violations('ts/disk/zone.ts', "export * from 'node:fs'\n"), [
    'ts/disk/zone.ts: engine code imports no package: node:fs',
  ])
  t.same(violations('ts/adapters/disk.ts', "const disk = await import('../disk/disk.ts')\n"), [
    'ts/adapters/disk.ts: adapters may not import ts/disk/disk.ts',
  ])
  t.same(violations('ts/control/api.ts', "import type { Engine } from '../engine.ts'\n"), [])
  t.same(violations('ts/control/api.ts', "import { Engine } from '../engine.ts'\n"), [
    'ts/control/api.ts: control may not import ts/engine.ts',
  ])
  t.same(violations('ts/engine/status.ts', "import type { Status } from '../node/messages.ts'\n"), [])
  t.same(violations('ts/engine/status.ts', "import { Status } from '../node/messages.ts'\n"), [
    'ts/engine/status.ts: engine may not import ts/node/messages.ts',
  ])
  t.same(violations('ts/flow/read.ts', "import type { Status } from '../node/messages.ts'\n"), [
    'ts/flow/read.ts: flow may not import ts/node/messages.ts',
  ])
  t.same(violations('ts/partner/keeper.ts', "import { LogRing } from '../log/ring.ts'\n"), [])
  t.same(violations('ts/helpers/x.ts', ''), ['ts/helpers/x.ts: the layer helpers is not in the table'])
})
