#!/usr/bin/env node
import { Command, CommanderError, Option } from 'commander'
import { exitCodeOf, failureLine } from './output.ts'

/** What commander says of a mistake, in one line of ours that says where to look. */
function usageLine(text: string): string {
  const [mistake = '', suggestion = ''] = text
    .trim()
    .replace(/^error: /, '')
    .split('\n')
  const meant = /^\(Did you mean (.*)\?\)$/.exec(suggestion)?.[1]
  if (meant !== undefined) return `pollux: ${mistake}; did you mean ${meant}?\n`
  return `pollux: ${mistake}${mistake.startsWith('unknown') ? '; see what there is with --help' : ''}\n`
}

/*
 * The command line. Each command is a file that is loaded when it is used, so that a mistake in
 * usage is answered without the addon.
 */
const program = new Command('pollux')
  .description('A mirrored block-storage pair for Linux, served over NBD')
  .exitOverride()
  .showHelpAfterError(false)
  .configureOutput({ outputError: (text, write) => write(usageLine(text)) })

const dir = () => new Option('--dir <dir>', 'folder of the pair (default: $POLLUX_DIR or the data folder)')
const json = () => new Option('--json', 'one line of JSON')
const aggregate = () => new Option('--aggregate <name>', 'the aggregate that is meant')

program
  .command('up')
  .description('run a pair on this host, made on the first run; Ctrl-C stops it')
  .addOption(dir())
  .option('--size <size>', 'of each of the first volumes (first run, default 1GiB)')
  .addOption(new Option('--durability <where>', 'what a flush waits for').choices(['pair', 'vault']))
  .option('--log-size <size>', 'of each log (first run, default 128MiB)')
  .option('--disk-size <size>', 'of each disk (first run, default: twice the volume and the log)')
  .option('--shared', 'both nodes use the same disks (first run, default: each has its own)')
  .option('--detach', 'return when it serves')
  .addOption(json())
  .action(async (options) => (await import('./up.ts')).up(options))

program
  .command('down')
  .description('stop the pair in good order')
  .addOption(dir())
  .addOption(json())
  .action(async (options) => (await import('./down.ts')).down(options))

program
  .command('serve')
  .description('run one node in the foreground')
  .requiredOption('--config <file>', 'settings of the node')
  .action(async ({ config }) => (await import('../main.ts')).serve(config))

program
  .command('status')
  .description('nodes, aggregates, copies, volumes')
  .addOption(dir())
  .addOption(json())
  .option('--watch', 'again every second, with rates')
  .action(async (options) => (await import('./status.ts')).status(options))

const volume = program.command('volume').description('volumes')
volume
  .command('create <name>')
  .requiredOption('--size <size>', 'as 10GiB')
  .addOption(aggregate())
  .addOption(dir())
  .addOption(json())
  .action(async (name, options) => (await import('./volume.ts')).createVolume(name, options))
volume
  .command('list')
  .addOption(aggregate())
  .addOption(dir())
  .addOption(json())
  .action(async (options) => (await import('./volume.ts')).listVolumes(options))
volume
  .command('resize <name>')
  .requiredOption('--size <size>', 'as 10GiB')
  .addOption(aggregate())
  .addOption(dir())
  .addOption(json())
  .action(async (name, options) => (await import('./volume.ts')).resizeVolume(name, options))
volume
  .command('rename <name> <newName>')
  .addOption(aggregate())
  .addOption(dir())
  .addOption(json())
  .action(async (name, newName, options) =>
    (await import('./volume.ts')).renameVolume(name, newName, options),
  )
volume
  .command('delete <name>')
  .addOption(aggregate())
  .addOption(dir())
  .addOption(json())
  .action(async (name, options) => (await import('./volume.ts')).deleteVolume(name, options))

program
  .command('attach [volume]')
  .description('a block device of this host from a volume, or from the URI of one: root only')
  .addOption(
    new Option('--fs <type>', 'make this file system if the device has none').choices(['ext4', 'xfs']),
  )
  .option('--mount <folder>', 'mount it there')
  .option('--read-only', 'nothing is written to it')
  .option('--connections <count>', 'to the server, with the kernel module nbd', '1')
  .option('--outage <seconds>', 'how long I/O waits while nobody serves, before it fails', '60')
  .addOption(
    new Option(
      '--way <way>',
      "the kernel's NBD client, or FUSE and a loop device (default: what there is)",
    ).choices(['nbd', 'fuse']),
  )
  .option('--list', 'what is attached to this host')
  .addOption(dir())
  .addOption(json())
  .action(async (volume, options) => (await import('./attach.ts')).attach(volume, options))

program
  .command('detach <device>')
  .description('write what is left and take a device away: /dev/nbd0, or its volume, or where it is mounted')
  .option('--force', 'also when it is in use or not served; what is not written is lost')
  .addOption(json())
  .action(async (device, options) => (await import('./attach.ts')).detach(device, options))

program
  .command('attach-watch <folder> <plan>', { hidden: true })
  .action(async (folder, plan) =>
    (await import('../attach/nbd-device.ts')).runWatcher(folder, JSON.parse(plan)),
  )

program
  .command('takeover <node>')
  .description("the node's partner takes over what the node owns")
  .option('--dry-run', 'only say whether it is possible')
  .option('--force', 'also when a copy is missing; only together with --accept-data-loss')
  .option('--accept-data-loss', 'what only the node has is given up')
  .option('--by <node>', 'who serves then: the node itself, if it is the one that has anything left')
  .option('--reason <text>', 'kept in the record with a forced takeover')
  .addOption(dir())
  .addOption(json())
  .action(async (node, options) => (await import('./roles.ts')).takeover(node, options))

program
  .command('giveback <node>')
  .description('the node gets back what is its own by home')
  .option('--dry-run', 'only say whether it is possible')
  .addOption(dir())
  .addOption(json())
  .action(async (node, options) => (await import('./roles.ts')).giveback(node, options))

const cp = program.command('cp').description('consistency points by hand')
for (const [action, text] of [
  ['now', 'write one, and wait for it'],
  ['hold', 'write none until resume'],
  ['resume', 'write them again'],
] as const) {
  cp.command(action)
    .description(text)
    .addOption(aggregate())
    .addOption(dir())
    .addOption(json())
    .action(async (options) => (await import('./cp.ts')).cp(action, options))
}

program
  .command('log')
  .description('copies of the logs')
  .command('dump')
  .description('entries as JSON lines, oldest first')
  .addOption(
    new Option('--copy <copy>', "the owner's or its partner's").choices(['own', 'partner']).default('own'),
  )
  .option('--limit <count>', 'only the newest')
  .addOption(aggregate())
  .addOption(dir())
  .addOption(json().hideHelp())
  .action(async (options) => (await import('./log-dump.ts')).logDump(options))

program
  .command('check <disk...>')
  .description(
    'check everything that is reachable on the disks of an aggregate, or of one plex; no node may use them',
  )
  .addOption(json())
  .action(async (disks, options) => (await import('./check.ts')).check(disks, options))

program
  .command('aggregate')
  .description('aggregates as a whole')
  .command('scrub [name]')
  .description(
    'read and check everything on the disks, while clients go on; exit code 1 if something stays damaged',
  )
  .option('--rate <size>', 'bytes per second at most (default: scrub_rate of the configuration)')
  .option('--stop', 'end the one that is running')
  .option('--detach', 'return at once; `pollux status --json` tells how far it is')
  .addOption(dir())
  .addOption(json())
  .action(async (name, options) => (await import('./scrub.ts')).scrub(name, options))

program
  .command('bench [uri...]')
  .description('load NBD servers with fio, in turns, and compare them; only reads, unless told otherwise')
  .option('--load <names>', 'only these, with commas between them (see --list)')
  .option('--rounds <count>', 'of every load', '5')
  .option('--seconds <count>', 'of every round', '5')
  .option('--region <size>', 'only the first so many bytes of each server')
  .option('--overwrite', 'also loads that write; what the servers hold is lost')
  .option('--list', 'names of the loads')
  .addOption(json())
  .action(async (uris, options) => (await import('./bench.ts')).bench(uris, options))

const disk = program.command('disk').description('disks and their labels')
disk
  .command('label <device...>')
  .description('label the disks of an aggregate and make its empty image, or label those of one plex')
  .requiredOption('--config <file>', 'settings of a node of the pair')
  .requiredOption('--aggregate <name>', 'the aggregate that they are for')
  .addOption(
    new Option('--plex <plex>', 'only the disks of this plex, as an empty copy that its owner fills').choices(
      ['0', '1'],
    ),
  )
  .option('--size <size>', 'how much of each disk is laid out, as on the other host (default: all)')
  .option('--add', 'disks that are new, and the last ones of their lists in the settings')
  .option('--force', 'also when there is something on them; it is lost')
  .addOption(json())
  .action(async (devices, options) => (await import('./disk.ts')).labelDisks(devices, options))
disk
  .command('list [path...]')
  .addOption(dir())
  .addOption(json())
  .action(async (paths, options) => (await import('./disk.ts')).listDisks(paths, options))

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // whoever read our output has seen enough
  if (error.code === 'EPIPE') process.exit(0)
})

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2
  } else {
    process.stderr.write(`${failureLine(error)}\n`)
    // a node that cannot start leaves nothing behind that would keep the process
    process.exit(exitCodeOf(error))
  }
}
