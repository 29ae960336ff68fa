//! What the data path counted of one service, as a scrape needs it: the data path counts in its own way, whoever wires the
//! floors fills this in.

/// The sum over the workers, for one service and one scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Requests that wait in a hold now.
    pub held: u64,
    /// Commands by how they ended: the label's value and the count. Each outcome there is, from the start.
    pub outcomes: Vec<(&'static str, u64)>,
    /// Upper bounds of the latency buckets, in seconds.
    pub bounds: Vec<f64>,
    /// Commands by bucket, not cumulative; one more than there are bounds.
    pub buckets: Vec<u64>,
    /// The sum of the times, in seconds.
    pub seconds: f64,
}
