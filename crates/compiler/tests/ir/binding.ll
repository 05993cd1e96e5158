; Each kind of global, all claimed to be the program's own as -fno-pic claims it, and how the code reaches it.
target triple = "x86_64-unknown-linux-gnu"

@own = dso_local global i32 1
@weak_own = weak dso_local global i32 1
@preemptible = global i32 1
@linkonce_own = linkonce_odr global i32 1, comdat
@common_own = common global i32 0
@internal_own = internal global i32 1
@hidden_own = hidden global i32 1
@alias_own = alias i32, ptr @own
@imported = external dso_local global i32
@hidden_import = external hidden global i32
@weak_import = extern_weak dso_local global i32
@weak_hidden_import = extern_weak hidden global i32
@constant_elsewhere = available_externally dso_local constant i32 1
@tls_own = thread_local global i32 1
@tls_import = external thread_local global i32
@tls_explicit = external thread_local(initialexec) global i32
@resolved_own = dso_local ifunc void (), ptr @resolver
$linkonce_own = comdat any

declare dso_local void @import()
declare dso_local void @import_by_address()
declare extern_weak dso_local void @weak_function()

define available_externally dso_local void @inline_elsewhere() noinline { ret void }
define dso_local void @own_function() noinline optnone { ret void }
define weak void @weak_own_function() noinline optnone { ret void }
define internal ptr @resolver() {
  %number = load volatile i32, ptr @internal_own
  %odd = trunc i32 %number to i1
  %function = select i1 %odd, ptr @own_function, ptr null
  ret ptr %function
}

define void @f(ptr %to) {
  store volatile ptr @own, ptr %to
  store volatile ptr @weak_own, ptr %to
  store volatile ptr @preemptible, ptr %to
  store volatile ptr @linkonce_own, ptr %to
  store volatile ptr @common_own, ptr %to
  store volatile ptr @internal_own, ptr %to
  store volatile ptr @hidden_own, ptr %to
  store volatile ptr @alias_own, ptr %to
  store volatile ptr @imported, ptr %to
  store volatile ptr @hidden_import, ptr %to
  store volatile ptr @weak_import, ptr %to
  store volatile ptr @weak_hidden_import, ptr %to
  store volatile ptr @constant_elsewhere, ptr %to
  store volatile ptr @import_by_address, ptr %to
  store volatile ptr @weak_function, ptr %to
  store volatile ptr @inline_elsewhere, ptr %to
  store volatile ptr @resolved_own, ptr %to
  store volatile ptr @weak_own_function, ptr %to
  call void @import()
  call void @inline_elsewhere()
  call void @own_function()
  call void @weak_own_function()
  call void @resolved_own()
  ret void
}

define i32 @g() {
  %own = load volatile i32, ptr @tls_own
  %import = load volatile i32, ptr @tls_import
  %explicit = load volatile i32, ptr @tls_explicit
  ret i32 %own
}

!llvm.module.flags = !{!0, !1}
!0 = !{i32 7, !"PIE Level", i32 2}
!1 = !{i32 1, !"direct-access-external-data", i32 1}

;# Reaches: .Ltls_own$local DTPOFF32
;# Reaches: .Ltls_own$local TLSLD
;# Reaches: .data PC32
;# Reaches: __tls_get_addr PLT32
;# Reaches: common_own PC32
;# Reaches: constant_elsewhere REX_GOTPCRELX
;# Reaches: hidden_import PC32
;# Reaches: hidden_own PC32
;# Reaches: import PLT32
;# Reaches: import_by_address REX_GOTPCRELX
;# Reaches: imported REX_GOTPCRELX
;# Reaches: inline_elsewhere PLT32
;# Reaches: inline_elsewhere REX_GOTPCRELX
;# Reaches: linkonce_own PC32
;# Reaches: resolved_own PLT32
;# Reaches: resolved_own REX_GOTPCRELX
;# Reaches: tls_explicit GOTTPOFF
;# Reaches: tls_import TLSGD
;# Reaches: weak_function REX_GOTPCRELX
;# Reaches: weak_hidden_import REX_GOTPCRELX
;# Reaches: weak_import REX_GOTPCRELX
;# Reaches: weak_own PC32
;# Reaches: weak_own_function PC32
;# Reaches: weak_own_function PLT32
