//! Who waits: first come first served within a tenant, tenants in turn.
//!
//! Pure: knows nothing of connections.

use std::collections::{HashMap, VecDeque};

use domain::names::TenantId;

/// Waiters `W`, in one line for each tenant.
#[derive(Debug)]
pub(super) struct Queue<W> {
    lines: HashMap<TenantId, VecDeque<(u64, W)>>,
    /// The tenants with a line, the one whose turn it is first.
    turns: VecDeque<TenantId>,
    tickets: u64,
    len: usize,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), tickets: 0, len: 0 }
    }
}

impl<W> Queue<W> {
    /// Puts a waiter at the end of its tenant's line. The ticket is for [`Queue::leave`].
    pub(super) fn push(&mut self, tenant: TenantId, waiter: W) -> u64 {
        let line = self.lines.entry(tenant).or_default();
        if line.is_empty() {
            self.turns.push_back(tenant);
        }
        self.tickets += 1;
        self.len += 1;
        line.push_back((self.tickets, waiter));
        self.tickets
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many of a tenant wait.
    pub(super) fn line(&self, tenant: TenantId) -> usize {
        self.lines.get(&tenant).map_or(0, VecDeque::len)
    }

    /// Tenants that wait, and how many of each, in turn.
    pub(super) fn tenants(&self) -> impl Iterator<Item = (TenantId, usize)> {
        self.turns.iter().map(|&tenant| (tenant, self.line(tenant)))
    }

    /// The first of a tenant's line, whose turn is over with it.
    pub(super) fn pop(&mut self, tenant: TenantId) -> Option<W> {
        let (_, waiter) = self.lines.get_mut(&tenant)?.pop_front()?;
        self.len -= 1;
        if self.line(tenant) > 0 {
            self.pass(tenant);
        } else {
            self.lines.remove(&tenant);
            self.turns.retain(|&other| other != tenant);
        }
        Some(waiter)
    }

    /// Puts a tenant behind the others, as one that had its turn just now.
    pub(super) fn pass(&mut self, tenant: TenantId) {
        if let Some(at) = self.turns.iter().position(|&other| other == tenant) {
            self.turns.remove(at);
            self.turns.push_back(tenant);
        }
    }

    /// Takes a waiter out who does not wait any longer.
    pub(super) fn leave(&mut self, tenant: TenantId, ticket: u64) {
        drop(self.withdraw(tenant, |waiting, _| waiting == ticket));
    }

    /// Takes the waiters of a tenant out for whom `gone`, given ticket and waiter, is true.
    pub(super) fn withdraw(&mut self, tenant: TenantId, gone: impl Fn(u64, &W) -> bool) -> Vec<W> {
        let Some(line) = self.lines.get_mut(&tenant) else { return Vec::new() };
        let (left, stay): (VecDeque<_>, VecDeque<_>) = line.drain(..).partition(|(ticket, waiter)| gone(*ticket, waiter));
        self.len -= left.len();
        if stay.is_empty() {
            self.lines.remove(&tenant);
            self.turns.retain(|&other| other != tenant);
        } else {
            *line = stay;
        }
        left.into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// Takes everybody out.
    pub(super) fn clear(&mut self) -> Vec<W> {
        (self.len, self.turns) = (0, VecDeque::new());
        std::mem::take(&mut self.lines).into_values().flatten().map(|(_, waiter)| waiter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantId = TenantId(uuid::Uuid::from_u128(0xA));
    const B: TenantId = TenantId(uuid::Uuid::from_u128(0xB));

    fn next(queue: &mut Queue<u32>) -> Option<u32> {
        let (tenant, _) = queue.tenants().next()?;
        queue.pop(tenant)
    }

    #[test]
    fn tenants_take_turns_and_each_one_serves_its_own_in_order() {
        let mut queue = Queue::default();
        for waiter in [1, 2, 3] {
            queue.push(A, waiter);
        }
        queue.push(B, 10);
        queue.push(B, 11);
        let served: Vec<_> = std::iter::from_fn(|| next(&mut queue)).collect();
        assert_eq!(served, [1, 10, 2, 11, 3]);
        assert_eq!((queue.len(), queue.tenants().count()), (0, 0));
    }

    #[test]
    fn who_leaves_is_not_served_and_keeps_nobody_elses_place() {
        let mut queue = Queue::default();
        let ticket = queue.push(A, 1);
        queue.push(B, 10);
        queue.push(A, 2);
        queue.leave(A, ticket);
        queue.leave(A, ticket);
        assert_eq!((queue.len(), queue.line(A), queue.line(B)), (2, 1, 1));
        assert_eq!(queue.withdraw(B, |_, &waiter| waiter == 10), [10]);
        assert_eq!((next(&mut queue), next(&mut queue)), (Some(2), None));
    }
}
