import { existsSync } from 'node:fs'
import { posix } from 'node:path'
import t from 'tap'
import { root, type Sources, sources } from './project.ts'

/** Markdown with the fenced blocks blanked: what is in them is neither a title nor a link. */
function prose(text: string): string {
  return text.replace(/^(```|~~~)[\s\S]*?^\1/gm, (block) => block.replace(/[^\n]/g, ''))
}

function titleCount(text: string): number {
  return prose(text).match(/^# \S/gm)?.length ?? 0
}

/** The anchor that GitHub gives to a heading. */
function anchors(text: string): string[] {
  return [...prose(text).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  )
}

function brokenLinks(files: Sources, exists: (path: string) => boolean): string[] {
  const broken: string[] = []
  for (const [path, text] of files) {
    for (const [, link] of prose(text).matchAll(/\]\(<?([^)>\s]+)>?(?:\s+"[^"]*")?\)/g)) {
      if (/^[a-z]+:/.test(link!)) continue
      const [file, anchor] = decodeURIComponent(link!).split('#')
      const target = file ? posix.join(posix.dirname(path), file) : path
      if (!exists(target)) broken.push(`${path}: ${link} leads nowhere`)
      const targetText = files.get(target)
      if (anchor && targetText !== undefined && !anchors(targetText).includes(anchor)) {
        broken.push(`${path}: ${link}: no such heading`)
      }
    }
  }
  return broken
}

const pages = sources(['.'], ['.md'])

t.test('every page of the documentation has one title', async (t) => {
  const docs = [...pages].filter(([path]) => path.startsWith('docs/'))
  t.ok(docs.length > 0, 'there is documentation')
  for (const [path, text] of docs) t.equal(titleCount(text), 1, path)
  t.equal(titleCount('# A\n```\n# no title\n```\n# B\n'), 2, 'titles are counted outside of code')
})

t.test('every relative link leads somewhere', async (t) => {
  t.same(
    brokenLinks(pages, (path) => existsSync(posix.join(root, path))),
    [],
  )
})

t.test('a broken link is found', async (t) => {
  const files = new Map([
    ['docs/a.md', '# A\n[b](b.md#part-two) [c](../c.md) [x](b.md#three) [w](https://example.org/x)\n'],
    ['docs/b.md', '# B\n## Part two\n'],
  ])
  t.same(
    brokenLinks(files, (path) => files.has(path)),
    ['docs/a.md: ../c.md leads nowhere', 'docs/a.md: b.md#three: no such heading'],
  )
})
