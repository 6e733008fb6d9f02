import { createInterface } from 'node:readline'
import { Oracle, type OracleOptions } from './oracle.ts'

/*
 * An oracle in a process of its own, which may be in another network: node oracle-program.js OPTIONS (JSON).
 * It writes until a line tells it to `stop`, verifies everything then, and says how it is in lines of JSON.
 */
const oracle = new Oracle(JSON.parse(process.argv[2]!) as OracleOptions)
const say = (more: object = {}): void => {
  const { answered, reconnects, longestWaitMs, failure, seed } = oracle
  console.log(
    JSON.stringify({ answered, reconnects, longestWaitMs, failure: failure?.message, seed, ...more }),
  )
}

const timer = setInterval(say, 20)
oracle.start()
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'lap') oracle.longestWaitMs = 0
  if (line === 'keep-alive') oracle.keepAlive()
  if (line === 'stop') break
}
clearInterval(timer)
try {
  await oracle.stop()
  say({ wrong: await oracle.verify() })
} catch (error) {
  say({ wrong: [(error as Error).message] })
}
process.exit(0)
