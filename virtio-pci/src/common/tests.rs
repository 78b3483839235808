use super::*;
use crate::layout::COMMON_LEN;

#[test]
fn the_registers_fill_the_structure_without_gaps() {
    let mut end = 0;
    for register in REGISTERS {
        assert_eq!(register.offset, end);
        assert_eq!(register.offset % register.width, 0);
        end += register.width;
    }
    assert_eq!(end, u64::from(COMMON_LEN));
}
