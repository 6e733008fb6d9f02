/* Stands for the guard of service addresses where there is nothing to guard. */
process.stdin.resume()
