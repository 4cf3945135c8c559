#!/bin/sh
# Installs procmgr for C: the header, the static and the shared library, and the file for pkg-config.
set -eu

usage() {
    cat <<'END'
usage: ./install.sh PREFIX [--from DIRECTORY] [--libdir DIRECTORY]

Installs into PREFIX, such as /usr/local or "$HOME/.local":
  include/procmgr.h  lib/libprocmgr.a  lib/libprocmgr.so*  lib/pkgconfig/procmgr.pc

  --from DIRECTORY    where libprocmgr.so and libprocmgr.a were built
                      (default: target/release, from "cargo build --release")
  --libdir DIRECTORY  where to install the libraries (default: PREFIX/lib)

For packages: if DESTDIR is set in the environment, files are written below it.
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
        -*) fail "unknown option $1; see --help" ;;
        *)
            [ -z "$prefix" ] || fail "more than one PREFIX: $1"
            prefix=$1
            ;;
    esac
    shift
done
if [ -z "$prefix" ]; then
    usage >&2
    exit 2
fi
# The file for pkg-config needs an absolute path.
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
# The same as in build.rs: before 1.0 each minor version has its own ABI.
major=${version%%.*}
case $major in
    0)
        minor=${version#*.}
        soname=libprocmgr.so.0.${minor%%.*}
        ;;
    *) soname=libprocmgr.so.$major ;;
esac
for file in libprocmgr.so libprocmgr.a; do
    [ -f "$from/$file" ] || fail "no $file in $from: run \"cargo build --release\" first, or use --from"
done

destination=${DESTDIR:-}
mkdir -p "$destination$prefix/include" "$destination$libdir/pkgconfig"

# put MODE SOURCE TARGET: writes a new file and renames it, so that a running program keeps the library that it has loaded.
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

printf 'procmgr %s is installed in %s\n' "$version" "$destination$prefix"
