//! How many connections there may be: altogether, of one tenant, and of those who have not said yet who they are.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use trunkline_model::Tenant;

use crate::LiveLimits;

/// Of all connections, the share that strangers may hold: one in this many, so that they cannot lock others out for long.
const STRANGERS: usize = 4;

/// Counts connections.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    limits: LiveLimits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    strangers: usize,
    tenants: HashMap<Tenant, usize>,
}

/// One connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    /// `None` while it is a stranger's.
    tenant: Option<Tenant>,
}

impl Slots {
    pub(crate) fn new(limits: LiveLimits) -> Self {
        Self { limits, counts: Arc::default() }
    }

    /// Takes a slot for a stranger, if there is one.
    pub(crate) fn take(&self) -> Option<Slot> {
        let mut counts = self.counts.lock();
        let max_strangers = self.limits.connections.div_ceil(STRANGERS);
        let is_free = counts.all < self.limits.connections && counts.strangers < max_strangers;
        is_free.then(|| {
            counts.all += 1;
            counts.strangers += 1;
            Slot { slots: self.clone(), tenant: None }
        })
    }
}

impl Slot {
    /// Makes it the tenant's; false when the tenant has as many as it may have.
    pub(crate) fn assign(&mut self, tenant: &Tenant) -> bool {
        let mut counts = self.slots.counts.lock();
        let of_tenant = counts.tenants.entry(tenant.clone()).or_default();
        if *of_tenant >= self.slots.limits.connections_per_tenant {
            return false;
        }
        *of_tenant += 1;
        counts.strangers -= 1;
        self.tenant = Some(tenant.clone());
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.counts.lock();
        counts.all -= 1;
        let Some(tenant) = &self.tenant else {
            counts.strangers -= 1;
            return;
        };
        if let Some(of_tenant) = counts.tenants.get_mut(tenant) {
            *of_tenant -= 1;
            if *of_tenant == 0 {
                counts.tenants.remove(tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_bounded_and_come_back() {
        let limits = LiveLimits { connections: 8, connections_per_tenant: 2, ..LiveLimits::default() };
        let slots = Slots::new(limits);
        let (acme, other) = (Tenant::parse("acme").unwrap(), Tenant::parse("other").unwrap());
        let (mut a, mut b) = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none(), "strangers hold at most a quarter");
        assert!(a.assign(&acme) && b.assign(&acme));
        let mut c = slots.take().unwrap();
        assert!(!c.assign(&acme) && c.assign(&other));
        drop(a);
        let mut d = slots.take().unwrap();
        assert!(d.assign(&acme));
        drop((b, c, d));
        let counts = slots.counts.lock();
        assert_eq!((counts.all, counts.strangers), (0, 0));
        assert!(counts.tenants.values().all(|n| *n == 0));
    }
}
