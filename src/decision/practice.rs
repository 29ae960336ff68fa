//! What is not wrong now and will hurt: one site for everything, and too few people who ever moved the service.
//!
//! Inputs: the settings, who switched by hand. Output: sentences for `status`. It decides nothing.

use super::machine::Machine;

/// How an actor begins who is known by a number only: nobody can tell how many people that is.
const NAMELESS: &str = "uid:";

impl Machine {
    pub(super) fn warnings(&self) -> Vec<String> {
        [self.one_site(), self.unpractised()].into_iter().flatten().collect()
    }

    fn one_site(&self) -> Option<String> {
        let mut sites = self.settings.clusters.iter().map(|cluster| cluster.site.as_str());
        let first = sites.next().filter(|site| !site.is_empty())?;
        sites.all(|site| site == first).then(|| format!("all clusters are in one site, {first}: it is lost with that"))
    }

    /// At least two people should have moved it when it mattered little.
    fn unpractised(&self) -> Option<String> {
        let how = format!("switchover {} --rehearsal", self.svc);
        match self.durable.practised.as_slice() {
            [] => Some(format!("nobody has practised a switch yet ({how})")),
            [one] if !one.name.starts_with(NAMELESS) => {
                Some(format!("only {} has practised a switch ({how})", one.name))
            }
            _ => None,
        }
    }
}
