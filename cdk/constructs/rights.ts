import { Stack, Validations } from 'aws-cdk-lib'
import * as iam from 'aws-cdk-lib/aws-iam'
import type { IConstruct } from 'constructs'

/** One statement of a role's policy, as data. */
export interface Right {
  /** Named one by one: `s3:PutObject`. Never with an asterisk. */
  readonly actions: readonly string[]
  /** ARNs. */
  readonly on: readonly string[]
  /** Conditions as IAM writes them: `{ StringLike: { 's3:prefix': ['…'] } }`. */
  readonly when?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** What it is for; of a resource with an asterisk also why it cannot be told closer. */
  readonly why: string
}

/** The statement of a right. */
export function statementOf({ actions, on, when }: Right): iam.PolicyStatement {
  return new iam.PolicyStatement({
    actions: [...actions],
    resources: [...on],
    ...(when === undefined ? {} : { conditions: when }),
  })
}

/** One policy of all rights, in their order. */
export function policyOf(rights: readonly Right[]): iam.PolicyDocument {
  return new iam.PolicyDocument({ minimize: false, statements: rights.map(statementOf) })
}

/** Gives rights to somebody outside the construct. */
export function grantRights(grantee: iam.IGrantable, rights: readonly Right[]): iam.Grant {
  const grants = rights.map(({ actions, on, when }) =>
    iam.Grant.addToPrincipal({
      grantee,
      actions: [...actions],
      resourceArns: [...on],
      ...(when === undefined ? {} : { conditions: { ...when } }),
    }),
  )
  return grants.reduce((all, one) => all.combine(one))
}

/** Tells cdk-nag the reason of each resource with an asterisk: its rule wants every finding acknowledged by itself. */
export function explainAsterisks(role: IConstruct, rights: readonly Right[]): void {
  const stack = Stack.of(role)
  for (const { on, why } of rights)
    for (const arn of on) {
      const shown = flat(stack.resolve(arn))
      if (shown.includes('*')) Validations.of(role).acknowledge({ id: `AwsSolutions-IAM5[Resource::${shown}]`, reason: why })
    }
}

/** A value of a template as cdk-nag writes it in the id of a finding: `<Bucket.Arn>/house/*`. */
function flat(value: unknown): string {
  if (typeof value === 'string') return value
  const { 'Fn::Join': join, 'Fn::GetAtt': attribute, Ref: ref } = value as Readonly<Record<string, unknown>>
  if (Array.isArray(join)) return (join[1] as readonly unknown[]).map(flat).join(join[0] as string)
  if (Array.isArray(attribute)) return `<${attribute.join('.')}>`
  return ref === undefined ? JSON.stringify(value) : `<${ref}>`
}
