import { ByteChannel, type NbdTarget } from './nbd-channel.ts'
import {
  decodeInfoReplies,
  decodeOptionReplyHeader,
  type ExportDetails,
  encodeClientFlags,
  encodeContextData,
  encodeInfoData,
  encodeOption,
  IHAVEOPT,
  NBD_MAGIC,
  type OptionAnswer,
  option,
  optionReply,
} from './nbd-wire.ts'

/** The server has refused an option; the message is the server's. */
export class OptionRefused extends Error {
  override name = 'OptionRefused'
  readonly option: number
  readonly kind: number

  constructor(answer: OptionAnswer) {
    super(`option ${answer.option} refused with 0x${answer.kind.toString(16)}: ${answer.data.toString()}`)
    this.option = answer.option
    this.kind = answer.kind
  }
}

export interface ListedExport {
  readonly name: string
  readonly description: string
}

/** The part of a session in which a client asks for things by option. */
export class OptionSession {
  readonly channel: ByteChannel
  structured = false
  extended = false

  private constructor(channel: ByteChannel) {
    this.channel = channel
  }

  /** Connects, reads the greeting and sends the client's flags (FIXED_NEWSTYLE and NO_ZEROES). */
  static async open(target: NbdTarget, timeoutMs = 10_000, clientFlags = 3): Promise<OptionSession> {
    const channel = await ByteChannel.connect(target, timeoutMs)
    const timer = setTimeout(() => channel.destroy(), timeoutMs)
    try {
      const greeting = await channel.take(18)
      if (greeting.readBigUInt64BE() !== NBD_MAGIC) throw new Error('the server does not speak NBD')
      if (greeting.readBigUInt64BE(8) !== IHAVEOPT) throw new Error('the server speaks oldstyle NBD')
      if ((greeting.readUInt16BE(16) & 1) === 0) throw new Error('the server is not fixed newstyle')
    } catch (error) {
      channel.destroy()
      throw error
    } finally {
      clearTimeout(timer)
    }
    channel.send(encodeClientFlags(clientFlags))
    return new OptionSession(channel)
  }

  /** Sends an option and collects its answers: those before the last one, and the last one. */
  async ask(
    number: number,
    data: Uint8Array | string = '',
  ): Promise<{ answers: OptionAnswer[]; last: OptionAnswer }> {
    this.channel.send(encodeOption(number, data))
    const answers: OptionAnswer[] = []
    for (;;) {
      const header = decodeOptionReplyHeader(await this.channel.take(20))
      if (header.option !== number) throw new Error(`option ${number} is answered as option ${header.option}`)
      const answer = { option: number, kind: header.kind, data: await this.channel.take(header.byteLength) }
      if (answer.kind === optionReply.ack || answer.kind > 2 ** 31) return { answers, last: answer }
      answers.push(answer)
    }
  }

  async #askForAck(number: number, data: Uint8Array | string = ''): Promise<OptionAnswer[]> {
    const { answers, last } = await this.ask(number, data)
    if (last.kind !== optionReply.ack) throw new OptionRefused(last)
    return answers
  }

  async list(): Promise<ListedExport[]> {
    const answers = await this.#askForAck(option.list)
    return answers.map(({ data }) => {
      const nameEnd = 4 + data.readUInt32BE()
      return { name: data.toString('utf8', 4, nameEnd), description: data.toString('utf8', nameEnd) }
    })
  }

  async info(name: string): Promise<ExportDetails> {
    return decodeInfoReplies(await this.#askForAck(option.info, encodeInfoData(name, [1, 2, 3])))
  }

  /** Ends the handshake: what comes next is transmission. */
  async go(name: string): Promise<ExportDetails> {
    return decodeInfoReplies(await this.#askForAck(option.go, encodeInfoData(name, [1, 2, 3])))
  }

  /** The old way in, for a session that has set NO_ZEROES. */
  async exportName(name: string): Promise<ExportDetails> {
    this.channel.send(encodeOption(option.exportName, name))
    const reply = await this.channel.take(10)
    return { byteLength: Number(reply.readBigUInt64BE()), flags: reply.readUInt16BE(8) }
  }

  /** False if the server has no structured replies. */
  async askForStructuredReplies(): Promise<boolean> {
    const { last } = await this.ask(option.structuredReply)
    this.structured = last.kind === optionReply.ack
    return this.structured
  }

  async askForExtendedHeaders(): Promise<void> {
    await this.#askForAck(option.extendedHeaders)
    this.extended = true
  }

  /** The names of the contexts that were selected. */
  async selectContexts(name: string, queries: readonly string[]): Promise<string[]> {
    const answers = await this.#askForAck(option.setMetaContext, encodeContextData(name, queries))
    return answers.map(({ data }) => data.toString('utf8', 4))
  }

  async abort(): Promise<void> {
    await this.#askForAck(option.abort)
    this.channel.destroy()
  }
}
