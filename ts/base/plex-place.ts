/** Where the disks of a plex are: their paths on this host, or on the partner's. */
export type PlexPlace = readonly string[] | 'partner'
