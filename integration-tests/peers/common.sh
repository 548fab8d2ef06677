# Sourced by the launchers: builds what is missing, sets $here and $home, and defines run_java CLASS ARGS… with the peers' class path.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${PEERS_HOME:-$HOME/.cache/kinesis-peers}
"$here/build"
run_java() {
  export AWS_EC2_METADATA_DISABLED=true # the native KPL would look for instance metadata
  exec java ${PEERS_JAVA_OPTS:--Xmx1g} -Dfile.encoding=UTF-8 -Dorg.slf4j.simpleLogger.defaultLogLevel="${PEERS_LOG:-warn}" \
    -cp "$home/classes:$home/lib/*" "$@"
}
