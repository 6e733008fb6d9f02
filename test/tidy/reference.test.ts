import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { errorCodes } from '../../ts/base/errors.ts'
import { root } from './project.ts'

const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const page = read('docs/reference/api.md')
const source = read('ts/control/api.ts')

t.test('the reference has every route of the control API, and no others', async (t) => {
  const made = source.matchAll(/\bapi\.(get|post|patch|delete)\b[^(]*\(\s*'([^']+)'/g)
  const routes = [...made].map(([, method, path]) => `${method!.toUpperCase()} ${path}`)
  const told = [...page.matchAll(/^\| `([A-Z]+ \/[^`]*)` \|/gm)].map(([, route]) => route)
  t.ok(routes.length > 8, 'routes were found')
  t.same(told.sort(), routes.sort())
})

t.test('the reference has every error code, with its status and what it means', async (t) => {
  const statuses = new Map(
    [...source.matchAll(/^ {2}([A-Z_]+): (\d{3}),$/gm)].map(([, code, status]) => [code, status]),
  )
  t.ok(statuses.size > 5, 'statuses were found')
  const expected = Object.entries(errorCodes).map(
    ([code, { summary }]) => `| \`${code}\` | ${statuses.get(code) ?? 500} | ${summary} |`,
  )
  t.same(
    page.split('\n').filter((line) => /^\| `[A-Z_]+` \|/.test(line)),
    expected,
  )
})
