import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const repo = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(repo, file), 'utf8')

interface Locked {
  readonly inBundle?: boolean
  readonly version?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}
interface Package extends Locked {
  readonly bin: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly scripts: Readonly<Record<string, string>>
}

const manifest: Package = JSON.parse(read('package.json'))
const packages: Readonly<Record<string, Locked>> = JSON.parse(read('package-lock.json')).packages
const wanted = { ...manifest.dependencies, ...manifest.devDependencies }

test('every dependency is pinned, and the lock file has that very version', () => {
  const locked = Object.fromEntries(Object.keys(wanted).map((name) => [name, packages[`node_modules/${name}`]?.version]))
  expect(locked).toEqual(wanted)
  expect({ ...packages['']?.dependencies, ...packages['']?.devDependencies }).toEqual(wanted)
})

test('the lock file lists the native packages of every platform: npm ci refuses one that lacks any', () => {
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {}, inBundle }]) =>
    // What a package brings along in its own archive is not npm's to choose.
    (inBundle ? [] : Object.keys(optionalDependencies)).filter(
      (name) => !packages[`${path}/node_modules/${name}`] && !packages[`node_modules/${name}`],
    ),
  )
  expect(missing).toEqual([])
})

test('what is packed imports what package.json lists, all of it and nothing else', () => {
  const imported = new Set<string>()
  for (const file of globSync(['lib/**/*.ts', 'functions/**/*.ts', 'cdk/constructs/**/*.ts'], { cwd: repo }))
    for (const [, name] of read(file).matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'((?:@[\w.-]+\/)?[\w.-]+)(?:\/[^']*)?'/g))
      if (!name.startsWith('.') && !name.startsWith('node:')) imported.add(name)
  // Named in the documentation of lib/index.ts: what users write.
  imported.delete('frazil')
  imported.delete('node')
  const listed = { ...manifest.dependencies, ...manifest.peerDependencies }
  expect([...imported].sort()).toEqual(Object.keys(listed).sort())
})

test('what the package offers is built from files that are there', () => {
  const offered = [
    ...Object.values(manifest.bin),
    ...Object.values(manifest.exports).flatMap((entry) => (typeof entry === 'string' ? [] : Object.values(entry))),
  ]
  const sources = offered.map((path) => path.replace(/^(?:\.\/)?dist\//, '').replace(/(?:\.d\.ts|\.js)$/, '.ts'))
  expect(sources.filter((path) => !existsSync(join(repo, path)))).toEqual([])
})

test('every npm script runs files that are there', () => {
  const files = Object.values(manifest.scripts).flatMap((script) => script.match(/\b[\w./-]+\.(?:ts|sh)\b/g) ?? [])
  expect(files.length).toBeGreaterThan(5)
  expect(files.filter((file) => !existsSync(join(repo, file)))).toEqual([])
})
