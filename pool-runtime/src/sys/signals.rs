//! What std would have set up for a process before `main`, for one that never reaches it.
#![expect(unsafe_code, reason = "installs signal handlers")]

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Where the handler notes a stack overflow, for the parent to read; null until there is such a place.
static NOTE: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());

/// What is noted.
pub(crate) const STACK_OVERFLOW: u32 = 1;

/// Tells the handler where to note an overflow.
pub(crate) fn note_overflow_in(word: &'static AtomicU32) {
    NOTE.store(std::ptr::from_ref(word).cast_mut(), Ordering::Release);
}

/// Signals as a fresh Rust program has them: SIGPIPE ignored, nothing blocked; and, as a worker should, SIGINT ignored,
/// since Ctrl-C in a terminal reaches the whole group and the parent decides what it means.
pub(crate) fn set_up() {
    // SAFETY: the calls only change this process's signal state, which belongs to nobody else yet: `main` has not begun.
    unsafe {
        for (signal, action) in [(libc::SIGPIPE, libc::SIG_IGN), (libc::SIGINT, libc::SIG_IGN)] {
            libc::signal(signal, action);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
    catch_overflow();
}

/// The signals that ask a process to end do so again, as in a program that was just started.
pub(crate) fn end_when_asked() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the call only changes this process's signal state, in which nobody else has a part yet.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Makes a stack overflow of this thread say so before the process dies of it.
fn catch_overflow() {
    const SIZE: usize = 64 << 10;
    // SAFETY: the stack is leaked, so it outlives the process's use of it, and the handler is async-signal-safe.
    unsafe {
        let stack = Box::leak(vec![0_u8; SIZE].into_boxed_slice());
        let alternate =
            libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: SIZE };
        libc::sigaltstack(&alternate, std::ptr::null_mut());
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
        libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut());
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
    }
}

/// Says so when the fault is near the stack pointer, then lets the signal do what it does: the handler was reset, and the
/// instruction is tried again.
extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    const NEAR: usize = 64 << 10;
    // SAFETY: the kernel passes both pointers and they are valid for this call.
    let (sent, at, stack) =
        unsafe { ((*info).si_code <= 0, (*info).si_addr() as usize, stack_pointer(context)) };
    if sent {
        // By `kill` or `raise`: no instruction will be tried again, so it is sent again, and comes once this handler has returned.
        // SAFETY: raise(3) is async-signal-safe.
        unsafe { libc::raise(signal) };
        return;
    }
    if at.abs_diff(stack) > NEAR {
        return;
    }
    let place = NOTE.load(Ordering::Acquire);
    if !place.is_null() {
        // SAFETY: the place was made from a `&'static`.
        unsafe { (*place).store(STACK_OVERFLOW, Ordering::Release) };
    }
    let text = b"a process of a pool has overflowed its stack\n";
    // SAFETY: write(2) is async-signal-safe and reads only `text`.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

#[cfg(target_arch = "x86_64")]
unsafe fn stack_pointer(context: *mut libc::c_void) -> usize {
    // SAFETY: with SA_SIGINFO the third argument is a `ucontext_t`.
    unsafe {
        (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RSP as usize] as usize
    }
}

#[cfg(target_arch = "aarch64")]
unsafe fn stack_pointer(context: *mut libc::c_void) -> usize {
    // SAFETY: with SA_SIGINFO the third argument is a `ucontext_t`.
    unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.sp as usize }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn stack_pointer(_context: *mut libc::c_void) -> usize {
    0
}
