import { readFileSync } from 'node:fs'

/** The CPUs that this process may run on, in ascending order: a container may allow some of the host only. */
export function allowedCpus(): number[] {
  const status = readFileSync('/proc/self/status', 'utf8')
  return cpusInList(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '0')
}

/** A list as the kernel writes it: `0-2,5`. */
export function cpusInList(list: string): number[] {
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, at) => first + at)
  })
}
