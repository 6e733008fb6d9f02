import { request as httpRequest } from 'node:http'
import { type ErrorCode, errorCodes, StoreError } from '../base/errors.ts'
import type { NodeStatus } from './node-control.ts'

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'

/** Asks the API of one node over its socket. */
export class ControlClient {
  readonly socket: string

  constructor(socket: string) {
    this.socket = socket
  }

  async json<T>(method: Method, path: string, body?: object, timeoutMs = 15_000): Promise<T> {
    return JSON.parse(await this.text(method, path, body, timeoutMs)) as T
  }

  status(timeoutMs = 3000): Promise<NodeStatus> {
    return this.json<NodeStatus>('GET', '/status', undefined, timeoutMs)
  }

  /** The body of a good answer. Rejects with the node's StoreError, or API_UNREACHABLE. */
  text(method: Method, path: string, body?: object, timeoutMs = 15_000): Promise<string> {
    const payload = body === undefined ? undefined : JSON.stringify(body)
    const headers = payload === undefined ? {} : { 'content-type': 'application/json' }
    return new Promise((resolve, reject) => {
      const fail = (reason: string) => reject(this.#unreachable(reason))
      const asked = httpRequest({ socketPath: this.socket, method, path, headers }, (response) => {
        const pieces: Buffer[] = []
        response.on('data', (piece: Buffer) => pieces.push(piece))
        response.once('error', (error) => fail(error.message))
        response.once('end', () => {
          clearTimeout(timer)
          const text = Buffer.concat(pieces).toString()
          if ((response.statusCode ?? 500) < 300) resolve(text)
          else reject(failureOf(text))
        })
      })
      const timer = setTimeout(() => {
        fail(`no answer within ${timeoutMs} ms`)
        asked.destroy()
      }, timeoutMs)
      asked.once('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer)
        fail(error.code === 'ENOENT' || error.code === 'ECONNREFUSED' ? 'it is not running' : error.message)
      })
      asked.end(payload)
    })
  }

  #unreachable(reason: string): StoreError {
    return new StoreError('API_UNREACHABLE', `the node at ${this.socket} does not answer: ${reason}`)
  }
}

function failureOf(text: string): Error {
  try {
    const { code, message } = JSON.parse(text) as { code: string; message: string }
    return Object.hasOwn(errorCodes, code) ? new StoreError(code as ErrorCode, message) : new Error(message)
  } catch {
    return new Error(`the node answered nonsense: ${text.slice(0, 200)}`)
  }
}
