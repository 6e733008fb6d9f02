import type { X509Certificate } from 'node:crypto'

/** The names of whoever a certificate was made for: its common names, then its alternative ones. */
export function namesOf(certificate: X509Certificate): string[] {
  // the text form of the subject has escapes in it
  const { CN } = certificate.toLegacyObject().subject as { CN?: string | string[] }
  const common = CN === undefined ? [] : [CN].flat()
  return [...new Set([...common, ...alternativeNames(certificate.subjectAltName ?? '')])]
}

/** Other kinds of names (of directories, say) are not compared. */
const KINDS: readonly string[] = ['DNS', 'URI', 'email', 'IP Address']

/** `DNS:vm1, URI:"with, or \" in it"`: node quotes what could be taken for several names. */
export function alternativeNames(text: string): string[] {
  const entry = /([^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y
  const names: string[] = []
  for (let found = entry.exec(text); found !== null; found = entry.exec(text)) {
    const [, kind, value] = found
    if (KINDS.includes(kind!)) names.push(value!.startsWith('"') ? unquoted(value!) : value!)
    if (entry.lastIndex === text.length) break
  }
  return names.filter((name) => name !== '')
}

function unquoted(value: string): string {
  try {
    return String(JSON.parse(value))
  } catch {
    return ''
  }
}
