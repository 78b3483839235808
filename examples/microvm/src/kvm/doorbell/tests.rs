use super::*;

const BASE: u64 = 0xe000_0000;

fn doorbell(offset: u64, value: u32) -> Doorbell {
    Doorbell { offset, value: Some(value), event: EventFd::new(0).unwrap() }
}

fn machine() -> Arc<VmFd> {
    Arc::new(kvm_ioctls::Kvm::new().unwrap().create_vm().unwrap())
}

#[test]
#[ignore = "needs /dev/kvm"]
fn doorbells_that_cannot_all_be_placed_leave_none() {
    let vm = machine();
    let mut clashing = Doorbells::new(vm.clone(), vec![doorbell(0, 0), doorbell(0, 1), doorbell(0, 0)]);
    assert!(clashing.place(Some(BASE)).is_err());
    Doorbells::new(vm, vec![doorbell(0, 0), doorbell(0, 1)]).place(Some(BASE)).unwrap();
}

#[test]
#[ignore = "needs /dev/kvm"]
fn one_that_cannot_be_taken_away_keeps_no_other() {
    let vm = machine();
    let mut doorbells = Doorbells::new(vm.clone(), vec![doorbell(0, 0), doorbell(0, 1)]);
    doorbells.place(Some(BASE)).unwrap();
    doorbells.unregister(&doorbells.sites[0], BASE).unwrap();
    assert!(doorbells.place(Some(BASE + 0x1000)).is_err());
    for base in [BASE, BASE + 0x1000] {
        Doorbells::new(vm.clone(), vec![doorbell(0, 0), doorbell(0, 1)]).place(Some(base)).unwrap();
    }
}
