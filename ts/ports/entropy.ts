export interface Entropy {
  /** Fills with random bytes: identities of rings, disks, boots. */
  fill(bytes: Uint8Array): void
}
