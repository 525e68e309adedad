//! Intervals of the controllers: how often objects are reconciled, and maintenance runs, without a change.
//!
//! Must not hold time-outs: those belong to the calls that they bound. Only a test build can change the defaults.

use std::time::Duration;

/// The intervals of the controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two observations of a server that is ready.
    pub server_ready: Duration,
    /// Between two observations of a server that does not answer: its schools wait for the first answer.
    pub server_unavailable: Duration,
    /// Between two observations of a server that a person must repair.
    pub server_unfit: Duration,
    /// For how long a server must not answer before its Schools are told.
    pub server_grace: Duration,
    /// Between the first two reconciles of a School that waits or was refused for a reason that nobody reports the end of. Later ones are further apart.
    pub waiting: Duration,
    /// Between two rounds of maintenance.
    pub maintenance: Duration,
    /// The longest that Schools wait at start for the first observation of every server.
    pub first_observation: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            server_ready: Duration::from_secs(10),
            server_unavailable: Duration::from_secs(1),
            server_unfit: Duration::from_secs(5),
            server_grace: Duration::from_secs(10),
            waiting: Duration::from_secs(15),
            maintenance: Duration::from_secs(30),
            first_observation: Duration::from_secs(15),
        }
    }
}

impl Timing {
    /// The intervals of this process: the defaults, in a test build with those of `DAILYCARE_TIMING` instead, such as `waiting=200,server_ready=500`, in
    /// milliseconds.
    #[must_use]
    pub fn of_process() -> Self {
        #[cfg(feature = "fault-points")]
        if let Ok(text) = std::env::var("DAILYCARE_TIMING") {
            return Self::default().with(&text);
        }
        Self::default()
    }

    #[cfg(any(test, feature = "fault-points"))]
    fn with(mut self, text: &str) -> Self {
        for (name, milliseconds) in text.split(',').filter_map(|pair| pair.split_once('=')) {
            let Ok(milliseconds) = milliseconds.parse() else { continue };
            let interval = match name {
                "server_ready" => &mut self.server_ready,
                "server_unavailable" => &mut self.server_unavailable,
                "server_unfit" => &mut self.server_unfit,
                "server_grace" => &mut self.server_grace,
                "waiting" => &mut self.waiting,
                "maintenance" => &mut self.maintenance,
                "first_observation" => &mut self.first_observation,
                _ => continue,
            };
            *interval = Duration::from_millis(milliseconds);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_build_can_shorten_each_interval_by_its_name() {
        let names = ["server_ready", "server_unavailable", "server_unfit", "server_grace", "waiting", "maintenance", "first_observation"];
        let short = Timing::default().with(&names.map(|name| format!("{name}=7")).join(","));
        let Timing { server_ready, server_unavailable, server_unfit, server_grace, waiting, maintenance, first_observation } = short;
        let all = [server_ready, server_unavailable, server_unfit, server_grace, waiting, maintenance, first_observation];
        assert_eq!(all, [Duration::from_millis(7); 7]);
        assert_eq!(Timing::default().with("waiting,other=1,server_ready=x"), Timing::default());
    }
}
