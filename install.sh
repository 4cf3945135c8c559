#!/bin/sh
# Installs procmgr for C: the header, the static and the shared library, and a file for pkg-config.
set -eu

usage() {
    cat <<'END'
usage: ./install.sh PREFIX [--from DIRECTORY] [--libdir DIRECTORY]

Installs into PREFIX, such as /usr/local or "$HOME/.local":
  include/procmgr.h  lib/libprocmgr.a  lib/libprocmgr.so*  lib/pkgconfig/procmgr.pc

  --from DIRECTORY    where libprocmgr.so and libprocmgr.a were built
                      (default: target/release, from "cargo build --release")
  --libdir DIRECTORY  where libraries go, if not PREFIX/lib

DESTDIR in the environment is put before every path that is written, for those who make packages.
END
}

fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
prefix= libdir= from=
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --from | --libdir)
            [ $# -ge 2 ] || fail "$1 needs a directory"
            case $1 in
                --from) from=$2 ;;
                --libdir) libdir=$2 ;;
            esac
            shift
            ;;
        -*) fail "what is $1? See --help" ;;
        *)
            [ -z "$prefix" ] || fail "one PREFIX only: $1"
            prefix=$1
            ;;
    esac
    shift
done
if [ -z "$prefix" ]; then
    usage >&2
    exit 2
fi
# pkg-config's file needs a path that means the same everywhere.
case $prefix in
    /*) ;;
    *) prefix=$PWD/$prefix ;;
esac
libdir=${libdir:-$prefix/lib}
case $libdir in
    /*) ;;
    *) libdir=$PWD/$libdir ;;
esac
from=${from:-${CARGO_TARGET_DIR:-$here/target}/release}

header=$here/include/procmgr.h
version=$(sed -n 's/^#define MGR_VERSION "\(.*\)"$/\1/p' "$header")
[ -n "$version" ] || fail "no version in $header"
# As build.rs: before 1.0 each minor version has an interface of its own.
major=${version%%.*}
case $major in
    0)
        minor=${version#*.}
        soname=libprocmgr.so.0.${minor%%.*}
        ;;
    *) soname=libprocmgr.so.$major ;;
esac
for file in libprocmgr.so libprocmgr.a; do
    [ -f "$from/$file" ] || fail "no $file in $from: run \"cargo build --release\" first, or say --from"
done

destination=${DESTDIR:-}
mkdir -p "$destination$prefix/include" "$destination$libdir/pkgconfig"

# put MODE SOURCE TARGET: through a new file, so that a program that runs keeps the library that it has.
put() {
    cp "$2" "$3.new"
    chmod "$1" "$3.new"
    mv -f "$3.new" "$3"
}

put 644 "$header" "$destination$prefix/include/procmgr.h"
put 644 "$from/libprocmgr.a" "$destination$libdir/libprocmgr.a"
put 755 "$from/libprocmgr.so" "$destination$libdir/libprocmgr.so.$version"
ln -sf "libprocmgr.so.$version" "$destination$libdir/$soname"
ln -sf "$soname" "$destination$libdir/libprocmgr.so"

cat >"$destination$libdir/pkgconfig/procmgr.pc" <<END
prefix=$prefix
includedir=\${prefix}/include
libdir=$libdir

Name: procmgr
Description: Starts, follows and ends shell commands for a host program
Version: $version
Cflags: -I\${includedir}
Libs: -L\${libdir} -lprocmgr
Libs.private: -lpthread -lm -ldl -lrt -lutil
END

printf 'procmgr %s is in %s\n' "$version" "$destination$prefix"
