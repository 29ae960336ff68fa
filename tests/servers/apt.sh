# Sourced, not run: what the scripts beside it share about apt.

# mirror: the machine's own Debian mirror, read from its apt configuration.
mirror() {
  local found
  found=$(grep -hE '^URIs:' /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '{print $2}' | grep -E '/debian/?$' | head -1 || true)
  [ -n "$found" ] || found=$(grep -hE '^deb ' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    grep -oE 'https?://[^ ]+/debian/?' | head -1)
  [ -n "$found" ] || { echo "no Debian mirror in this machine's apt configuration" >&2; return 1; }
  echo "$found"
}

# private_apt DIR TYPE SUITE: sets the array `apt` to options with which apt-get and apt-cache see only SUITE's packages
# (TYPE deb) or sources (TYPE deb-src), with all their state below DIR.
private_apt() {
  local dir=$1 type=$2 suite=$3 from
  from=$(mirror)
  mkdir -p "$dir/lists/partial" "$dir/archives/partial"
  echo "$type [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from $suite main" >"$dir/sources.list"
  : >"$dir/status"
  apt=(-oDir::Etc::SourceList="$dir/sources.list" -oDir::Etc::SourceParts=/dev/null -oDir::State::Lists="$dir/lists"
    -oDir::Cache::Archives="$dir/archives" -oDir::Cache::pkgcache= -oDir::Cache::srcpkgcache= -oDir::State::status="$dir/status"
    -oAPT::Sandbox::User=root)
  apt-get "${apt[@]}" update -qq
}
