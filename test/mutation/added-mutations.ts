import type { Mutation } from './mutation.ts'

/** A plex gets more disks: none is left out later, and none counts that never was filled. */
export const addedDisks: readonly Mutation[] = [
  {
    name: 'a list with fewer disks than the labels count is accepted',
    file: 'ts/disk/labelled-disk.ts',
    find: 'diskIndex < label.diskCount && label.diskCount <= diskCount',
    replace: 'diskIndex < label.diskCount',
    breaks: 'a node with the old list serves without the disk that was added',
    checker: ['unit/volume/added-disks.test', 'unit/disk/label.test'],
    isQuick: true,
  },
  {
    name: 'an image is opened on fewer disks than it lies on',
    file: 'ts/volume/open-plexes.ts',
    find: 'const mistake = difference ?? reachMistake(disks, this.#newest)',
    replace: 'const mistake = difference',
    breaks: 'all blocks on the disk that was added are gone',
    checker: ['unit/volume/added-disks.test'],
  },
  {
    name: 'the map of a disk that was added counts as written',
    file: 'ts/volume/free-map.ts',
    find: 'place >= this.#mappedDisks',
    replace: 'place > this.#mappedDisks',
    breaks: 'the map cannot be read, and each opening walks all trees',
    checker: ['unit/volume/added-disks.test'],
    isQuick: true,
  },
  {
    name: 'a disk of another image is taken for one that was added',
    file: 'ts/volume/open-plexes.ts',
    find: 'if (addedDisks(labelled).length > 0) yield*',
    replace: 'if (addedDisks(labelled).length < 0) yield*',
    breaks: 'the superblocks of another image are opened',
    checker: ['unit/volume/added-disks.test'],
  },
  {
    name: 'labels never count a disk that was added',
    file: 'ts/volume/added-disks.ts',
    find: 'labelled.label = { ...label, diskCount }',
    replace: 'labelled.label = { ...label }',
    breaks: 'the next opening takes the disk for one of another image',
    checker: ['sim/added-disks.test'],
  },
  {
    name: 'a superblock does not count the blocks of a disk that was added',
    file: 'ts/consistency-point/next-superblock.ts',
    find: 'blockCount: plex.blockCount',
    replace: 'blockCount: superblock.blockCount',
    breaks: 'the disk is taken for an empty one, and what it holds is written over',
    checker: ['unit/volume/added-disks.test'],
  },
  {
    name: 'a plex whose disk was exchanged has what its base says',
    file: 'ts/volume/open-plexes.ts',
    find: 'found && found.generation >= base.generation && found.blockCount <= first',
    replace: 'found && found.generation >= base.generation && found.blockCount > first',
    breaks: 'a resync leaves out what a blank disk lacks',
    checker: ['unit/volume/added-disks.test', 'unit/volume/open-plexes.test'],
  },
]
