//! The queue of those who wait: first come, first served within a tenant, and tenants in turn.
//!
//! Pure: must not know connections.

use std::collections::{HashMap, VecDeque};

use domain::names::TenantId;

/// Waiters `W`, by tenant.
#[derive(Debug)]
pub(super) struct Queue<W> {
    by_tenant: HashMap<TenantId, VecDeque<(u64, W)>>,
    /// The tenants with waiters, the next one first.
    order: VecDeque<TenantId>,
    tickets: u64,
    len: usize,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { by_tenant: HashMap::new(), order: VecDeque::new(), tickets: 0, len: 0 }
    }
}

impl<W> Queue<W> {
    /// Adds a waiter behind its tenant's others. The ticket is for [`Queue::remove`].
    pub(super) fn push(&mut self, tenant: TenantId, waiter: W) -> u64 {
        let waiters = self.by_tenant.entry(tenant).or_default();
        if waiters.is_empty() {
            self.order.push_back(tenant);
        }
        self.tickets += 1;
        self.len += 1;
        waiters.push_back((self.tickets, waiter));
        self.tickets
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many of a tenant wait.
    pub(super) fn len_of(&self, tenant: TenantId) -> usize {
        self.by_tenant.get(&tenant).map_or(0, VecDeque::len)
    }

    /// Tenants with waiters, and how many of each, in turn.
    pub(super) fn tenants(&self) -> impl Iterator<Item = (TenantId, usize)> {
        self.order.iter().map(|&tenant| (tenant, self.len_of(tenant)))
    }

    /// Takes a tenant's first waiter, and moves the tenant behind the others.
    pub(super) fn pop(&mut self, tenant: TenantId) -> Option<W> {
        let (_, waiter) = self.by_tenant.get_mut(&tenant)?.pop_front()?;
        self.len -= 1;
        if self.len_of(tenant) > 0 {
            self.move_to_back(tenant);
        } else {
            self.by_tenant.remove(&tenant);
            self.order.retain(|&other| other != tenant);
        }
        Some(waiter)
    }

    /// Moves a tenant behind the others, as after its turn.
    pub(super) fn move_to_back(&mut self, tenant: TenantId) {
        if let Some(at) = self.order.iter().position(|&other| other == tenant) {
            self.order.remove(at);
            self.order.push_back(tenant);
        }
    }

    /// Removes a waiter that no longer waits.
    pub(super) fn remove(&mut self, tenant: TenantId, ticket: u64) {
        drop(self.remove_where(tenant, |waiting, _| waiting == ticket));
    }

    /// Removes the waiters of a tenant whose ticket and value fulfil the condition.
    pub(super) fn remove_where(&mut self, tenant: TenantId, is_removed: impl Fn(u64, &W) -> bool) -> Vec<W> {
        let Some(waiters) = self.by_tenant.get_mut(&tenant) else { return Vec::new() };
        let (removed, kept): (VecDeque<_>, VecDeque<_>) = waiters.drain(..).partition(|(ticket, waiter)| is_removed(*ticket, waiter));
        self.len -= removed.len();
        if kept.is_empty() {
            self.by_tenant.remove(&tenant);
            self.order.retain(|&other| other != tenant);
        } else {
            *waiters = kept;
        }
        removed.into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// Removes everybody.
    pub(super) fn take_all(&mut self) -> Vec<W> {
        (self.len, self.order) = (0, VecDeque::new());
        std::mem::take(&mut self.by_tenant).into_values().flatten().map(|(_, waiter)| waiter).collect()
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
    fn a_waiter_that_left_is_not_served_and_takes_nobodys_turn() {
        let mut queue = Queue::default();
        let ticket = queue.push(A, 1);
        queue.push(B, 10);
        queue.push(A, 2);
        queue.remove(A, ticket);
        queue.remove(A, ticket);
        assert_eq!((queue.len(), queue.len_of(A), queue.len_of(B)), (2, 1, 1));
        assert_eq!(queue.remove_where(B, |_, &waiter| waiter == 10), [10]);
        assert_eq!((next(&mut queue), next(&mut queue)), (Some(2), None));
    }
}
