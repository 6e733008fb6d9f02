import { aggregatesTable } from './aggregates.ts'
import { connectionsTable } from './connections.ts'
import type { ScaleTable } from './point.ts'
import { sizeTable } from './size.ts'
import { volumesTable } from './volumes.ts'

/** How cost, memory and opening grow with what there is, each by `npm run bench -- --scale NAME`. */
export const scaleTables: readonly ScaleTable[] = [sizeTable, volumesTable, connectionsTable, aggregatesTable]
