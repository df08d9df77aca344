#!/bin/sh
# Connects the NGINX Agent of this host to the muster gateway at @ADDRESS@.
# Run it as root. Run again, it leaves alone what is in place already.
# It holds no key: that goes into the key file, by hand.
# With DESTDIR set, everything goes below that directory and nothing is restarted.
set -eu
umask 022

root=${DESTDIR:-}
conf=$root/etc/nginx-agent/nginx-agent.conf
ca=$root@CA_PATH@
key=$root@KEY_FILE@
begin='# begin: muster agent-config'
end='# end: muster agent-config'

say() { printf 'muster: %s\n' "$*"; }
die() { printf 'muster: %s\n' "$*" >&2; exit 1; }

ca_pem() {
    cat <<'MUSTER_CA'
@CA@MUSTER_CA
}

block() {
    cat <<'MUSTER_BLOCK'
@BLOCK@MUSTER_BLOCK
}

# All checks come before the first change.
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || die "run this as root"
[ -f "$conf" ] || die "$conf is not there: install NGINX Agent v3 first"
# A link stays a link: what it points to is changed.
conf=$(readlink -f "$conf")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk -v begin="$begin" -v end="$end" '
    $0 == begin { if (inside || seen) bad = 1; inside = 1; seen = 1; next }
    $0 == end { if (!inside) bad = 1; inside = 0; next }
    !inside { print }
    END { exit (bad || inside) ? 1 : 0 }
' "$conf" >"$work/rest" ||
    die "$conf: the lines '$begin' and '$end' are not one pair; remove them and what is between, then run this again"
if grep -Eq "^[\"']?command[\"']?[[:space:]]*:" "$work/rest"; then
    die "$conf has a command: block already; nothing was changed. Remove it, or rename it to auxiliary_command: to stay connected there too, then run this again"
fi
{
    cat "$work/rest"
    printf '%s\n' "$begin"
    block
    printf '%s\n' "$end"
} >"$work/conf"

changed=
ca_pem >"$work/ca"
if [ -s "$work/ca" ] && ! cmp -s "$work/ca" "$ca"; then
    mkdir -p "$(dirname "$ca")"
    cat "$work/ca" >"$ca"
    chmod 0644 "$ca"
    changed=yes
    say "wrote $ca"
fi
if [ -s "$key" ]; then
    say "kept $key"
else
    mkdir -p "$(dirname "$key")"
    # Closed from its first moment on: it is about to hold a secret.
    (umask 077 && : >>"$key")
    chmod 0600 "$key"
fi
if ! cmp -s "$work/conf" "$conf"; then
    [ -e "$conf.before-muster" ] || cp -p "$conf" "$conf.before-muster"
    # A copy first, for its owner and mode; the move leaves no half a file.
    cp -p "$conf" "$conf.muster-new"
    cat "$work/conf" >"$conf.muster-new"
    mv "$conf.muster-new" "$conf"
    changed=yes
    say "wrote the command: block into $conf (as it was: $conf.before-muster)"
fi

if [ -z "$changed" ]; then
    say "all is in place; nginx-agent was not restarted"
elif [ -n "$root" ]; then
    say "DESTDIR is set: nginx-agent was not restarted"
elif [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
    systemctl restart nginx-agent || die "nginx-agent did not restart: see journalctl -u nginx-agent"
    say "restarted nginx-agent"
else
    say "no systemd here: restart nginx-agent yourself"
fi
if [ ! -s "$key" ]; then
    say "next: paste the data plane key into $key; then restart nginx-agent"
fi
