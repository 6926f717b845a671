/** What the protocol asks of Kafka itself: which partitions there are, and whether anything is unread. */
export interface Broker {
  /** Partition numbers of the topic, ascending. */
  partitions(topic: string): Promise<readonly number[]>
  /**
   * True when a read from `offset` reaches the broker's (read-uncommitted) end without a record: the proof of idleness
   * (protocol rule 24). It must ask the broker at the time of the call.
   */
  nothingUnread(topic: string, partition: number, offset: number): Promise<boolean>
}
