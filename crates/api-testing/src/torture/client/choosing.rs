//! The choice of the next request: which school, which caller, what it asks for.
//!
//! Must not send or judge.

use reqwest::Method;

use super::super::schools::{Made, NEVER, Subject};
use super::Client;
use super::request::{Caller, GONE, Named, Operation, READS, Then, change, create, read, remove};

impl<'a> Client<'a> {
    /// One school for some thirty requests, and any other now and then.
    pub(super) fn subject(&mut self) -> &'a Subject {
        if self.random.below(30) == 0 {
            self.school = usize::try_from(self.random.below(self.arena.subjects.len() as u64)).unwrap();
            self.replica = usize::from(self.random.below(2) == 0);
        }
        if self.random.below(12) == 0 { self.random.pick(&self.arena.subjects) } else { &self.arena.subjects[self.school] }
    }

    pub(super) fn caller(&mut self) -> Caller {
        match self.random.below(100) {
            0..8 => Caller::Reader,
            8..15 => Caller::Forged(self.random.any()),
            15..18 => Caller::Nobody,
            18..20 => Caller::OfNoSchool,
            20..22 => Caller::Staff,
            _ => Caller::Admin,
        }
    }

    pub(super) fn named(&mut self) -> Named {
        match self.random.below(100) {
            0..10 => Named::Id,
            10..20 => Named::Code,
            20..24 => Named::Forwarded,
            24..28 => Named::OtherId,
            28..32 => Named::OtherCode,
            32..34 => Named::Twice,
            34..36 => Named::TwoSchools,
            36..40 => Named::Malformed(self.random.any()),
            _ => Named::Nothing,
        }
    }

    /// Another school than this one.
    pub(super) fn other(&mut self, subject: &Subject) -> &'a Subject {
        loop {
            let other = self.random.pick(&self.arena.subjects);
            if other.index != subject.index {
                return other;
            }
        }
    }

    /// What somebody who may do everything in the school asks for.
    pub(super) fn entitled(&mut self, subject: &Subject) -> Operation {
        let planted = *self.random.pick(&subject.planted);
        let other = self.other(subject);
        let theirs = *self.random.pick(&other.planted);
        match self.random.below(100) {
            0..18 => read(format!("/children/{planted}"), READS, Then::Shows),
            18..30 => read(format!("/children?limit={}", 1 + self.random.below(20)), READS, Then::List),
            30..34 => match self.random.pick(&[subject, other]).cursor() {
                Some(cursor) => read(format!("/children?limit=5&after={cursor}"), READS, Then::Nothing),
                None => read("/children?limit=1".into(), READS, Then::List),
            },
            34..40 => read(format!("/children?name={}", subject.marker), READS, Then::Shows),
            40..44 => read(format!("/children?name={}", other.marker), READS, Then::ShowsNothing),
            44..46 => read(format!("/children?class_id={}", other.class), READS, Then::ShowsNothing),
            46..48 => read(format!("/children?guardian_id={}", other.guardian), READS, Then::ShowsNothing),
            48..58 => read(format!("/children/{theirs}"), GONE, Then::Nothing),
            58..61 => change(theirs, &subject.marker, GONE),
            61..63 => Operation {
                method: Method::DELETE,
                path: format!("/children/{theirs}"),
                condition: Some("*"),
                ..read(String::new(), GONE, Then::Nothing)
            },
            63..68 => change(planted, &subject.marker, READS),
            68..78 => self.documented(subject, other),
            78..90 => create(subject, subject.next()),
            90..95 => Self::again(subject),
            _ => match subject.children().present.pop() {
                Some(made) => remove(made, true),
                None => create(subject, subject.next()),
            },
        }
    }

    /// A creation that was asked for before, whether or not its answer came.
    pub(super) fn again(subject: &Subject) -> Operation {
        let mut children = subject.children();
        if let Some(serial) = children.unknown.pop() {
            return create(subject, serial);
        }
        match children.present.last().copied() {
            Some(made) => Operation { then: Then::Same(made), ..create(subject, made.serial) },
            None => read("/children?limit=1".into(), READS, Then::List),
        }
    }

    /// Any path of the document, with ids of either school: whatever it answers, it holds nothing of the other's.
    pub(super) fn documented(&mut self, subject: &Subject, other: &Subject) -> Operation {
        let template = self.random.pick(&self.arena.paths).clone();
        let ids = [subject.planted[0], other.planted[0], other.class, subject.class, other.guardian, other.admin];
        let mut path = String::new();
        for part in template.split('/').skip(1) {
            path.push('/');
            if part.starts_with('{') {
                path += &self.random.pick(&ids).to_string();
            } else {
                path += part;
            }
        }
        read(path, &[200, 400, 403, 404, 422], Then::Nothing)
    }

    /// What refused people ask for: if it were done, the count of rows in the end would show it.
    pub(super) fn harmless(&mut self, subject: &Subject, reader: bool) -> Operation {
        let planted = *self.random.pick(&subject.planted);
        let (reads, writes): (&[u16], &[u16]) = if reader { (READS, &[403]) } else { (&[], &[]) };
        match self.random.below(6) {
            0 => Operation { expected: writes, then: Then::Nothing, ..create(subject, NEVER + self.random.below(NEVER)) },
            1 => Operation { expected: writes, ..change(planted, &subject.marker, writes) },
            2 => Operation { expected: writes, then: Then::Nothing, ..remove(Made { serial: 0, id: planted }, false) },
            3 => read(format!("/children/{planted}"), reads, Then::Nothing),
            4 => read("/children?limit=3".into(), reads, Then::Nothing),
            _ => read(format!("/children?name={}", subject.marker), reads, Then::Nothing),
        }
    }
}
