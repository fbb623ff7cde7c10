/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Only in sanitized builds: AddressSanitizer leaves the fatal signals to fault.c, and does not call what Python
 * keeps until its end a leak.
 */
__attribute__((visibility("default"))) const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "detect_leaks=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0:"
	       "use_sigaltstack=0:allocator_may_return_null=1:allow_user_segv_handler=1";
}
