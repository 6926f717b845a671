import trades from '../../pipelines/trades.ts'

/** `pipelines/trades.ts` in a namespace of its own, so that deployments beside each other have tables of their own. */
// biome-ignore lint/style/noDefaultExport: what a pipeline file is
export default Object.freeze({ ...trades, namespace: process.env.NAMESPACE ?? 'trades' })
