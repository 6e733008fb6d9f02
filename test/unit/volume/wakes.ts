/** Somebody who waits for a block of the cache, and counts how often it is woken. */
export const wakes = () => ({
  count: 0,
  wake() {
    this.count += 1
  },
})
