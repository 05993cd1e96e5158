; The notation of each kind of symbol, in the order of the section.
%pair = type { i32, ptr }
%packed = type <{ i8, %pair }>
%opaque = type opaque

@number = global i64 0
@text = constant [10 x i8] c"123456789\00"
@record = global [2 x %packed] zeroinitializer
@elsewhere = external global %opaque
@per_thread = thread_local global i32 0
@"\01undecorated" = global i8 0
@hidden_number = hidden global i16 0
@tentative = common global i32 0
@internal_number = internal global i32 0
@unused = external global i32
@llvm.used = appending global [1 x ptr] [ptr @internal_number], section "llvm.metadata"

@second_name = alias void (i8, ptr, ptr, i64), ptr @abi
@resolved = ifunc void (i32), ptr @resolver

declare void @unused_function()
declare i32 @printf(ptr noundef, ...)
declare signext i16 @external_abi(i1 noundef zeroext, ptr noundef nonnull inreg)
declare extern_weak void @maybe()
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare <4 x float> @vector({ i64, double }, x86_fp80, i128)

define void @abi(i8 signext %a, ptr noalias sret(%pair) align 8 %b, ptr byval(%packed) align 8 %c, i64 %d) noinline {
  call void @llvm.memcpy.p0.p0.i64(ptr %b, ptr %c, i64 12, i1 false)
  %x = call i32 (ptr, ...) @printf(ptr @text, ptr @elsewhere, i64 %d)
  %y = call signext i16 @external_abi(i1 zeroext true, ptr nonnull inreg %b)
  %w = icmp eq ptr @maybe, null
  br i1 %w, label %done, label %more
more:
  call void @maybe()
  %v = call <4 x float> @vector({ i64, double } zeroinitializer, x86_fp80 0xK3FFF8000000000000000, i128 1)
  br label %done
done:
  ret void
}

define { i64, double } @nested(ptr nest %closure, ptr swiftself %self) { ret { i64, double } zeroinitializer }
define fastcc zeroext i8 @fast(i32 %x) { ret i8 1 }
define linkonce_odr void @emitted() noinline optnone { ret void }
define void @keeps() {
  call void @emitted()
  call void @internal_function()
  ret void
}
define internal void @internal_function() noinline { ret void }
define internal ptr @resolver() { ret ptr @keeps }

;# Type: abi = void (i8 signext, ptr sret, ptr byval, i64)
;# Type: nested = { i64, double } (ptr nest, ptr swiftself)
;# Type: fast = fastcc zeroext i8 (i32)
;# Type: emitted = void ()
;# Type: keeps = void ()
;# Type: printf = i32 (ptr, ...)
;# Type: external_abi = signext i16 (i1 zeroext, ptr inreg)
;# Type: maybe = void ()
;# Type: vector = <4 x float> ({ i64, double }, x86_fp80, i128)
;# Type: number = i64
;# Type: text = [10 x i8]
;# Type: record = [2 x <{ i8, { i32, ptr } }>]
;# Type: per_thread = i32
;# Type: undecorated = i8
;# Type: hidden_number = i16
;# Type: tentative = i32
;# Type: elsewhere = opaque
;# Type: second_name = void (i8 signext, ptr sret, ptr byval, i64)
;# Type: resolved = void (i32)
