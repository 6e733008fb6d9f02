import { assert } from '../base/assert.ts'
import type { OwnerRecord } from '../format/owner-record.ts'

/** What an owner says of a plex. A record may say `absent`, too: that of an aggregate without a mirror. */
export type PlexWord = 'in-sync' | 'stale'

/** Whether the record promises that the plex has everything that counts. */
export const callsInSync = (record: OwnerRecord, plex: number): boolean =>
  (plex === 0 ? record.plex0 : record.plex1) === 'in-sync'

/** The record with the owner's words; itself, if it says so already, or there are none yet. */
export function withPlexWords(record: OwnerRecord, words: readonly PlexWord[] | undefined): OwnerRecord {
  if (!words) return record
  assert(words.includes('in-sync'), 'an owner never calls every plex stale')
  const [plex0 = record.plex0, plex1 = record.plex1] = words
  return plex0 === record.plex0 && plex1 === record.plex1 ? record : { ...record, plex0, plex1 }
}

/** The plexes that the record calls in sync, as bits. */
export const plexBits = (record: OwnerRecord): number =>
  Number(callsInSync(record, 0)) | (Number(callsInSync(record, 1)) << 1)

export const hasBit = (bits: number, plex: number): boolean => ((bits >> plex) & 1) === 1

/** Why a node may not open the image with the plexes that it reaches; empty if it may. */
export function reachObstacle(record: OwnerRecord, node: string, plexes: readonly number[]): string {
  if (plexes.some((plex) => callsInSync(record, plex))) return ''
  return `plex ${plexes.join(', ')} on ${node} is stale: changes are missing that the other plex has`
}

/** Why nobody may open the image; empty if somebody may. No owner ever writes such a record. */
export function plexObstacle(record: OwnerRecord): string {
  if (callsInSync(record, 0) || callsInSync(record, 1)) return ''
  return `the arbiter's record calls no plex of ${record.aggregate} in sync: restore the arbiter's data`
}

export const areSameWords = (words: readonly PlexWord[], known: readonly PlexWord[] | undefined): boolean =>
  words[0] === known?.[0] && words[1] === known?.[1]

export function mustBeWords(words: readonly PlexWord[], plexCount: number): void {
  assert(words.length === plexCount, 'each plex has its word')
  assert(words.includes('in-sync'), 'an owner never calls every plex stale')
}
