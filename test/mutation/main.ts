import { mutations } from './mutations.ts'
import { Laboratory, type Result } from './runner.ts'

/** `npm run mutations -- [WORDS]`: those with the words in name or file; prints rows for docs/testing.md. */
function main(): void {
  const words = process.argv.slice(2).join(' ')
  const chosen = mutations.filter(({ name, file }) => name.includes(words) || file.includes(words))
  const laboratory = new Laboratory()
  const results: Result[] = []
  try {
    for (const mutation of chosen) {
      const result = laboratory.try(mutation)
      results.push(result)
      const found = result.caught ? `${unitsOf(result)}: ${result.words.split('\n')[0]}` : 'NOT CAUGHT'
      console.log(`${mutation.name}: ${found} (${(result.tookMs / 1000).toFixed(1)} s)`)
    }
  } finally {
    laboratory.close()
  }
  for (const result of results) console.log(row(result))
  const missed = results.filter(({ caught }) => !caught)
  console.log(`${results.length} mutations, ${results.length - missed.length} caught`)
  process.exitCode = missed.length === 0 && results.length > 0 ? 0 : 1
}

function row(result: Result): string {
  const { name, file, breaks } = result.mutation
  return `| ${name} | \`${file}\` | ${breaks} | ${result.caught ? unitsOf(result) : 'not caught'} |`
}

function unitsOf({ mutation, needed }: Result): string {
  const { checker } = mutation
  if (typeof checker !== 'string') return checker.map((file) => `\`test/${file}\``).join(', ')
  const units = { scope: 'sequences', sim: 'seeds', model: 'states' }
  return `${checker}, ${needed} ${units[checker]}`
}

main()
