import t from 'tap'
import { type Sources, sources } from './project.ts'

const LINES_MAX = 400
const COLUMNS_MAX = 110

/** A literal is kept in one piece, so that it can be searched for, and a row of a table in one line. */
const messageOrRow = /(['`"])[^'`"]{50,}\1|^\s*(\{.*\}|\[.*\]),$/

/** Files that may be longer, each with the reason. */
const exceptions: ReadonlyMap<string, string> = new Map([])

function tooLong(files: Sources): string[] {
  return [...files]
    .map(([path, text]) => ({ path, lines: text.split('\n').length - 1 }))
    .filter(({ path, lines }) => lines > LINES_MAX && !exceptions.has(path))
    .map(({ path, lines }) => `${path}: ${lines} lines; split it by what it is about`)
}

function tooWide(files: Sources): string[] {
  return [...files].flatMap(([path, text]) =>
    text
      .split('\n')
      .map((line, index) => ({
        place: `${path}:${index + 1}`,
        columns: [...line].length,
        isWhole: messageOrRow.test(line),
      }))
      .filter(({ columns, isWhole }) => columns > COLUMNS_MAX && !isWhole)
      .map(({ place, columns }) => `${place}: ${columns} columns`),
  )
}

const code = sources(['ts', 'native', 'test', 'bench', 'scripts'], ['.ts', '.mjs', '.cpp', '.hpp', '.h'])

t.test('a file is about one thing and fits in 400 lines', async (t) => {
  t.ok(code.size > 40, 'the sources were found')
  t.same(tooLong(code), [])
  t.same(tooLong(new Map([['ts/x.ts', 'a\n'.repeat(401)]])).length, 1, 'a long file is found')
})

t.test('a line fits in 110 columns', async (t) => {
  t.same(tooWide(code), [])
  t.same(tooWide(new Map([['ts/x.ts', 'a'.repeat(111)]])), ['ts/x.ts:1: 111 columns'], 'a long line is found')
})

t.test('every exception is still needed', async (t) => {
  const lineCount = (path: string) => (code.get(path) ?? '').split('\n').length - 1
  t.same(
    [...exceptions.keys()].filter((path) => lineCount(path) <= LINES_MAX),
    [],
  )
})
