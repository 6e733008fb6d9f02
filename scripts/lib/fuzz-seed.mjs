// Loaded before each test file by scripts/fuzz.mjs: more runs than a test takes by itself, and a new seed.
import fastCheck from 'fast-check'

const seed = Number(process.env.POLLUX_FUZZ_SEED)
if (Number.isSafeInteger(seed))
  fastCheck.configureGlobal({ seed, numRuns: 2000, interruptAfterTimeLimit: 20_000 })
