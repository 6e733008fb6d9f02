import { type Node, parse } from 'acorn'

/** A constant of the source, which an input may have to contain. */
export type Constant = number | string

export interface Instrumented {
  readonly code: string
  /** the first counter that is free again */
  readonly end: number
}

type Tree = Node & Record<string, unknown>

const LONGEST_CONSTANT = 40
const LOOPS = ['ForStatement', 'ForInStatement', 'ForOfStatement', 'WhileStatement', 'DoWhileStatement']

/**
 * Puts a counter into each branch of a compiled module: functions, both ways of conditions, cases, loops and
 * right sides of logical operators. Counters from `first` on are used. Everything stays on its line.
 */
export function instrument(source: string, first: number): Instrumented {
  const editor = new Editor(source, first)
  const program = parse(source, { ecmaVersion: 'latest', sourceType: 'module' }) as Node as Tree
  editor.visit(program)
  const constants = JSON.stringify([...editor.constants])
  const start = `const __c=__fuzz.enter(${editor.next},${constants});`
  return { code: start + editor.result(), end: editor.next }
}

class Editor {
  next: number
  readonly constants = new Set<Constant>()
  readonly #source: string
  readonly #opens = new Map<number, string[]>()
  readonly #closes = new Map<number, string[]>()

  constructor(source: string, first: number) {
    this.#source = source
    this.next = first
  }

  /** Outer nodes come first: what they open stands before what inner ones open, and the other way round. */
  visit(node: Tree): void {
    this.#edit(node)
    for (const value of Object.values(node)) {
      for (const child of Array.isArray(value) ? value : [value]) if (isTree(child)) this.visit(child)
    }
  }

  #edit(node: Tree): void {
    const [body, test] = [node['body'] as Tree, node['consequent'] as Tree]
    if (node.type === 'IfStatement') this.#both(test, node['alternate'] as Tree | null)
    else if (node.type === 'ConditionalExpression') {
      this.#expression(test)
      this.#expression(node['alternate'] as Tree)
    } else if (node.type === 'LogicalExpression') this.#expression(node['right'] as Tree)
    else if (node.type === 'SwitchCase') this.#case(node)
    else if (node.type === 'CatchClause' || LOOPS.includes(node.type)) this.#statement(body)
    else if (node.type === 'ArrowFunctionExpression' && body.type !== 'BlockStatement') this.#expression(body)
    else if (/Function(Expression|Declaration)$/.test(node.type)) this.#statement(body)
    else if (node.type === 'Literal') this.#constant(node['value'])
  }

  #both(consequent: Tree, alternate: Tree | null): void {
    if (alternate === null) this.#close(consequent.end, `else{${this.#counter()}}`)
    else this.#statement(alternate)
    this.#statement(consequent)
  }

  #statement(node: Tree): void {
    if (node.type === 'BlockStatement') return this.#open(node.start + 1, this.#counter())
    this.#open(node.start, `{${this.#counter()}`)
    this.#close(node.end, '}')
  }

  #expression(node: Tree): void {
    this.#open(node.start, `(__c[${this.next++}]++,`)
    this.#close(node.end, ')')
  }

  #case(node: Tree): void {
    const test = node['test'] as Tree | null
    const colon = this.#source.indexOf(':', test?.end ?? node.start)
    this.#open(colon + 1, this.#counter())
  }

  #counter(): string {
    return `__c[${this.next++}]++;`
  }

  #constant(value: unknown): void {
    const isNumber = typeof value === 'number' && Number.isSafeInteger(value) && value > 8
    const isText = typeof value === 'string' && /^[^\s]+$/.test(value) && value.length <= LONGEST_CONSTANT
    if (isNumber || isText) this.constants.add(value)
  }

  #open(at: number, text: string): void {
    const texts = this.#opens.get(at)
    if (texts) texts.push(text)
    else this.#opens.set(at, [text])
  }

  #close(at: number, text: string): void {
    const texts = this.#closes.get(at)
    if (texts) texts.unshift(text)
    else this.#closes.set(at, [text])
  }

  result(): string {
    const places = [...new Set([...this.#opens.keys(), ...this.#closes.keys()])].sort((a, b) => a - b)
    let code = ''
    let from = 0
    for (const at of places) {
      code += this.#source.slice(from, at)
      code += [...(this.#closes.get(at) ?? []), ...(this.#opens.get(at) ?? [])].join('')
      from = at
    }
    return code + this.#source.slice(from)
  }
}

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && typeof (value as Tree).type === 'string'
