import { describe, expect, test } from 'vitest'
import type { Answer } from '../../functions/custom-resource.ts'
import { provisionHandler } from '../../functions/provision-handler.ts'
import type { Context } from '../../functions/telemetry.ts'
import { unavailable } from '../../lib/errors.ts'
import { planOf } from '../../lib/index.ts'
import type { Plan } from '../../lib/pipeline/plan.ts'
import type { Ports } from '../../lib/runtime/runtime.ts'
import trades from '../../pipelines/trades.ts'
import { world } from '../runtime/world.ts'
import { silent } from './telling.ts'

const plan = planOf(trades)
const TABLES = Object.keys(plan.tables)
const CONFIG = {
  logTable: 'logs',
  staging: 'memory://staging/',
  warehouse: 'memory://warehouse/',
  partitions: { trades: 2 },
}
const CONTEXT: Context = { awsRequestId: 'request-1', getRemainingTimeInMillis: () => 60_000 }
const SECRET_URL = 'https://bucket/answer?X-Amz-Signature=secret'

/** What CloudFormation sends. */
const asked = (RequestType: 'Create' | 'Update' | 'Delete') => ({
  RequestType,
  ResponseURL: SECRET_URL,
  StackId: 'stack-1',
  RequestId: 'request-1',
  LogicalResourceId: 'Tables',
})

/** A deployment on memory stores, and what CloudFormation is told by it. */
function deployment() {
  const { ports } = world({ plan })
  const answers: { url: string; answer: Answer }[] = []
  const told: string[] = []
  const telemetry = {
    ...silent,
    info: (message: string, facts: object) => void told.push(JSON.stringify({ message, ...facts })),
    error: (error: unknown) => void told.push(String(error)),
  }
  const provision = (definition: Plan, change: Partial<Ports> = {}, config = CONFIG) =>
    provisionHandler(definition, { ...ports, ...change, telemetry }, config, async (url, answer) => {
      answers.push({ url, answer })
    })
  /** Where every table stands, by the catalog. */
  const state = async () =>
    JSON.stringify(
      await Promise.all((await ports.catalog.list()).map(async (id) => ({ ...id, ...(await ports.catalog.load(id)) }))),
    )
  return { ports, provision, answers, told, state }
}

/** The definition with another type for a column of the table that is looked at last. */
function changed(): Plan {
  const name = TABLES[TABLES.length - 1]
  const table = plan.tables[name]
  const [first, ...fields] = table.fields
  return { ...plan, tables: { ...plan.tables, [name]: { ...table, fields: [{ ...first, type: 'double' }, ...fields] } } }
}

describe('provision', () => {
  test('makes the tables when a stack is created, and tells CloudFormation which', async () => {
    const { ports, provision, answers } = deployment()
    await provision(plan)(asked('Create'), CONTEXT)
    expect((await ports.catalog.list()).map(({ name }) => name).sort()).toEqual([...TABLES].sort())
    expect(answers).toEqual([
      {
        url: SECRET_URL,
        answer: expect.objectContaining({ Status: 'SUCCESS', StackId: 'stack-1', PhysicalResourceId: 'frazil-tables' }),
      },
    ])
    for (const table of TABLES) expect(answers[0].answer.Data.Tables).toContain(`${table}: made with `)
  })

  test('finds everything as it was when it is called again, and changes nothing', async () => {
    const { provision, answers, state } = deployment()
    await provision(plan)(asked('Create'), CONTEXT)
    const before = await state()
    await provision(plan)(asked('Update'), CONTEXT)
    expect(await state()).toBe(before)
    expect(answers[1].answer).toMatchObject({
      Status: 'SUCCESS',
      Data: { Tables: TABLES.map((table) => `${table}: as it was`).join('; ') },
    })
  })

  test('fails an update to a definition that cannot go on, says why, and changes nothing', async () => {
    const { provision, answers, state } = deployment()
    await provision(plan)(asked('Create'), CONTEXT)
    const before = await state()
    expect(await provision(changed())(asked('Update'), CONTEXT)).toEqual([])
    expect(await state()).toBe(before)
    const { Status, Reason } = answers[1].answer
    expect([answers.length, Status]).toEqual([2, 'FAILED'])
    expect(Reason).toMatch(/^Cannot [^\n]*expected [^\n]*found [^\n]*\.$/)
  })

  test('refuses fewer partitions than are open, says how many those are, and takes that number', async () => {
    const { provision, answers, state } = deployment()
    const counting = (count: number) =>
      provision(plan, {}, { ...CONFIG, partitions: { trades: count } })(asked('Update'), CONTEXT)
    await counting(4)
    await counting(5)
    const before = await state()
    await counting(4)
    expect(answers[2].answer).toMatchObject({
      Status: 'FAILED',
      Reason:
        'Cannot deploy pipeline trades: expected topic trades to have the 5 partitions that are open, or more, found 4. An open partition cannot be taken back: windows wait for it. Set the number to 5; if it was wrong from the start, deploy under another pipeline name.',
    })
    expect(await state()).toBe(before)
    await counting(5)
    expect(answers[3].answer.Status).toBe('SUCCESS')
  })

  test('deletes nothing when the stack is deleted, and does not even look', async () => {
    const { ports, provision, answers, state } = deployment()
    await provision(plan)(asked('Create'), CONTEXT)
    const before = await state()
    const unreachable = async () => {
      throw unavailable('Cannot reach anything.')
    }
    await provision(changed(), { log: { ...ports.log, tail: unreachable, put: unreachable } })(asked('Delete'), CONTEXT)
    expect(await state()).toBe(before)
    expect(answers[1].answer.Status).toBe('SUCCESS')
  })

  test('called without CloudFormation it returns the changes, or throws', async () => {
    const { provision, answers } = deployment()
    const changes = await provision(plan)({}, CONTEXT)
    expect(changes.map(({ table, change }) => `${table} ${change}`)).toEqual(TABLES.map((table) => `${table} made with`))
    await expect(provision(changed())({}, CONTEXT)).rejects.toMatchObject({ kind: 'Refused' })
    expect(answers).toEqual([])
  })

  test('tells of a failure that nobody foresaw as such', async () => {
    const { ports, provision, answers } = deployment()
    const tail = async () => {
      throw new TypeError('x is not a function')
    }
    await provision(plan, { log: { ...ports.log, tail } })(asked('Create'), CONTEXT)
    expect(answers[0].answer).toMatchObject({ Status: 'FAILED', Reason: 'Bug: x is not a function' })
  })

  test('never tells of the address that it answers to, whatever happens', async () => {
    const { provision, told } = deployment()
    await provision(plan)(asked('Create'), CONTEXT)
    await provision(changed())(asked('Update'), CONTEXT)
    await provision(plan)(asked('Delete'), CONTEXT)
    expect(told.length).toBe(3)
    expect(told.join()).not.toMatch(/secret|https:/)
  })

  test('a plan whose topic has no number of partitions makes no handler', () => {
    const { ports } = deployment()
    const make = () => provisionHandler(plan, { ...ports, telemetry: silent }, { ...CONFIG, partitions: {} }, async () => {})
    expect(make).toThrow(/expected topic trades to say how many partitions it has/)
  })
})
