//! The result for a person. Ratios are of one round each, so that both sides had the same machine.
//!
//! Must not compute figures.

use std::fmt::Write as _;

use crate::audit;
use crate::phases::{Bulk, Report, Round};
use crate::spread::Spread;
use crate::usage::Usage;

/// One round as it ends.
pub(crate) fn line(round: &Round) -> String {
    let Round { operator, floor, sql, delete, .. } = round;
    format!(
        "operator {:.2} s, floor {:.2} s (ratio {:.2}), SQL alone {sql:.2} s; deleted in {delete:.2} s",
        operator.wall,
        floor.wall,
        operator.wall / floor.wall
    )
}

/// Everything.
pub(crate) fn table(report: &Report) -> String {
    let mut out = Table::default();
    let Report { schools, servers, cores, rounds, .. } = report;
    out.title(&format!("{schools} Schools at once on {}, fsync on, {cores} cores, {} rounds", servers.join(" and "), rounds.len()));
    out.head("", ["min", "median", "max"]);
    out.spread("A  operator: start of apply to last Ready, s", rounds, |r| r.operator.wall);
    out.spread("     p50 / School, s", rounds, |r| r.operator.latency.p50);
    out.spread("     p95 / School, s", rounds, |r| r.operator.latency.p95);
    out.spread("B  floor: the same with a bare client, s", rounds, |r| r.floor.wall);
    out.spread("     p50 / School, s", rounds, |r| r.floor.latency.p50);
    out.spread("     p95 / School, s", rounds, |r| r.floor.latency.p95);
    out.spread("C  SQL alone, no API call, no hash, s", rounds, |r| r.sql);
    out.spread("   operator / floor                  (aim 1.25)", rounds, |r| r.operator.wall / r.floor.wall);
    out.spread("   operator / SQL alone                 (aim 2)", rounds, |r| r.operator.wall / r.sql);
    out.spread("   the same in processor seconds of all parts", rounds, |r| r.operator.cpu.total() / r.floor.cpu.total());
    out.spread("E  delete all until all are gone, s", rounds, |r| r.delete);
    out.spread("   a bare DROP DATABASE for as many, s", rounds, |r| r.drop);
    out.spread("   deleted / bare DROP DATABASE         (aim 1.25)", rounds, |r| r.delete / r.drop);
    out.line(&format!(
        "   one Argon2id hash {:.1} ms; all of them {:.2} core seconds",
        report.hash_ms,
        per(report.hash_ms, 1000.0 / count(*schools))
    ));
    processors(&mut out, rounds);
    per_school(&mut out, report);
    others(&mut out, report);
    out.0
}

/// One part's share of what was used.
type Part = fn(&Usage) -> f64;

fn processors(out: &mut Table, rounds: &[Round]) {
    out.title("Processor seconds (median)");
    out.head("", ["A", "B", ""]);
    let parts: [(&str, Part); 7] = [
        ("operator", |u| u.operator),
        ("this program (applies, watches; B: does the work)", |u| u.bench),
        ("kube-apiserver", |u| u.apiserver),
        ("etcd", |u| u.etcd),
        ("kube-controller-manager", |u| u.controller_manager),
        ("PostgreSQL, both", |u| u.postgres),
        ("all", Usage::total),
    ];
    for (name, part) in parts {
        let median = |side: fn(&Round) -> &Bulk| Spread::of(rounds.iter().map(|round| part(&side(round).cpu))).median;
        out.row(name, &[median(|round| &round.operator), median(|round| &round.floor)]);
    }
}

fn per_school(out: &mut Table, report: &Report) {
    let Some(last) = report.rounds.last() else { return };
    let schools = count(report.schools);
    out.title("For each School (last round)");
    out.head("", ["operator", "floor", ""]);
    let writes = audit::writes(&last.calls);
    for (kind, calls) in &last.calls {
        let name = if writes.contains_key(kind) { format!("write: {kind}") } else { format!("read:  {kind}") };
        out.row(&name, &[per(whole(*calls), schools)]);
    }
    out.row("all writes                                (aim 7)", &[per(whole(writes.values().sum()), schools), 5.0]);
    let transactions = |bulk: &Bulk| per(signed(bulk.transactions), schools);
    out.row("PostgreSQL transactions", &[transactions(&last.operator), transactions(&last.floor)]);
    out.title("Altogether (last round)");
    out.head("", ["operator", "floor", ""]);
    out.row("PostgreSQL connections opened", &[signed(last.operator.connections), signed(last.floor.connections)]);
    out.row("seconds until the last School was created", &[last.operator.apply, last.floor.apply]);
    let memory = &last.memory;
    out.line(&format!("   operator memory, MiB: {:.1} at start, {:.1} at most, {:.1} at the end", memory.start, memory.peak, memory.end));
    out.line(&format!("   left after deletion: {:?}", last.leaks));
}

fn others(out: &mut Table, report: &Report) {
    if let Some(singles) = &report.singles {
        out.title("D  one School, apply to Ready, s");
        out.head("", ["p50", "p95", "max"]);
        let (cold, staged) = (singles.cold, singles.staged);
        out.row("cold                               (aim p95 < 1)", &[cold.p50, cold.p95, cold.max]);
        out.row("from a staged database          (aim p95 < 0.25)", &[staged.p50, staged.p95, staged.max]);
    }
    if let Some(recovery) = &report.recovery {
        let ready = recovery.ready_before;
        out.title(&format!("F  a server is killed with {ready} Schools Ready when it returns, {:.0} s later", recovery.outage));
        out.row("seconds from its return to all Ready", &[recovery.after]);
    }
    if let Some(rest) = &report.rest {
        out.title(&format!("G  at rest for {:.0} s", rest.seconds));
        out.row("API writes                                (aim 0)", &[whole(rest.writes.values().sum())]);
        out.row("API reads", &[whole(rest.reads)]);
        out.row("operator, percent of a core", &[rest.cpu_percent]);
        out.row("PostgreSQL connections opened", &[signed(rest.connections)]);
        out.row("PostgreSQL transactions", &[signed(rest.transactions)]);
    }
}

#[derive(Default)]
struct Table(String);

impl Table {
    fn line(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    fn title(&mut self, text: &str) {
        self.line(&format!("\n{text}"));
    }

    fn head(&mut self, name: &str, columns: [&str; 3]) {
        let columns: Vec<String> = columns.iter().map(|column| format!("{column:>9}")).collect();
        self.line(format!("   {name:<52}{}", columns.join(" ")).trim_end());
    }

    fn row(&mut self, name: &str, figures: &[f64]) {
        let figures: Vec<String> = figures.iter().map(|figure| format!("{figure:>9.2}")).collect();
        self.line(&format!("   {name:<52}{}", figures.join(" ")));
    }

    fn spread(&mut self, name: &str, rounds: &[Round], figure: impl Fn(&Round) -> f64) {
        let Spread { min, median, max } = Spread::of(rounds.iter().map(figure));
        self.line(&format!("{name:<55}{min:>9.2} {median:>9.2} {max:>9.2}"));
    }
}

fn per(figure: f64, schools: f64) -> f64 {
    figure / schools
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
fn count(figure: usize) -> f64 {
    figure as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
fn whole(figure: u64) -> f64 {
    figure as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
fn signed(figure: i64) -> f64 {
    figure as f64
}
