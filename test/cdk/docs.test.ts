import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ALARMS } from '../../cdk/constructs/alarms.ts'
import { deployed, SOURCES, statementsOf } from './support.ts'

const repo = join(import.meta.dirname, '../..')
const page = readFileSync(join(repo, 'docs/reference/constructs.md'), 'utf8')
const rights = page.slice(page.indexOf('## Rights'), page.indexOf('## Alarms'))
const source = (file: string) => readFileSync(join(repo, 'cdk/constructs', file), 'utf8')

/** Names of an interface's properties, as its source has them. */
const propertiesOf = (file: string, name: string): string[] => {
  const body = new RegExp(`interface ${name} \\{\n([\\s\\S]*?)\n\\}`).exec(source(file))?.[1] ?? ''
  return [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, property]) => property)
}

describe('the page of the constructs names', () => {
  test.each([
    ['props.ts', 'StreamingPipelineProps', 25],
    ['alarms.ts', 'AlarmThresholds', 8],
    ['source.ts', 'SelfManagedOptions', 6],
  ])('every property in %s of %s', (file, name, atLeast) => {
    const properties = propertiesOf(file, name)
    expect(properties.length).toBeGreaterThanOrEqual(atLeast)
    expect(properties.filter((property) => !page.includes(`\`${property}\``))).toEqual([])
  })

  test('every alarm', () => {
    expect(ALARMS.filter((name) => !page.includes(`\`${name}\``))).toEqual([])
  })

  test('every right of every source, and none that nobody has', () => {
    const given = new Set(
      Object.values(SOURCES).flatMap((of) =>
        statementsOf(deployed((scope) => ({ source: of(scope) })).template).flatMap(({ actions }) => actions),
      ),
    )
    const written = new Set([...rights.matchAll(/`([\w-]+:[A-Z]\w+)`/g)].map(([, action]) => action))
    expect([...given].filter((action) => !written.has(action))).toEqual([])
    const byOption = ['sqs:SendMessage', 'sns:Publish', 'ec2:AssignPrivateIpAddresses', 'ec2:UnassignPrivateIpAddresses']
    expect([...written].filter((action) => !given.has(action)).sort()).toEqual(byOption.sort())
  })

  test('every public member of the construct', () => {
    const members = [...source('streaming-pipeline.ts').matchAll(/^ {2}(?:readonly )?([a-z]\w+)(?:[:(])/gm)].map(
      ([, name]) => name,
    )
    const open = [...new Set(members)].filter((name) => name !== 'constructor')
    expect(open.length).toBeGreaterThan(15)
    expect(open.filter((name) => !new RegExp(`\`${name}[\`(]`).test(page))).toEqual([])
  })
})
