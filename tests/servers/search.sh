#!/usr/bin/env bash
# Gets a real OpenSearch or Elasticsearch out of Maven's own repository (jars, no distribution) and writes DIR/node, which is one node:
#   node HOME CLUSTER HTTP_PORT TRANSPORT_PORT TRANSPORT_PORTS [SETTING=VALUE ...]
# TRANSPORT_PORTS are those of all nodes of the cluster, with commas; the first time, more than half of them have to start. Data in HOME
# survives a restart and a kill. $NODE_JAVA, if set, replaces the options of Java, which are for quick starts and a small memory.
#   search.sh DIR GROUP ARTIFACT VERSION RUNNER_CLASS SETTING_OF_FIRST_MASTERS [JAVA_HOME]
set -euo pipefail
dir=$1 group=$2 artifact=$3 version=$4 runner=$5 masters=$6 java=${7:+$7/bin/}
rm -rf "$dir"
mkdir -p "$dir/classes"
dir=$(cd "$dir" && pwd)

cat >"$dir/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>servers</groupId>
<artifactId>node</artifactId><version>1</version><packaging>pom</packaging><dependencies><dependency>
<groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency></dependencies></project>
POM
# Copied, so that the folder needs nothing of the user's own repository.
mvn -q -B -f "$dir/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
  -Dmdep.prependGroupId=true -DoutputDirectory="$dir/jars"

cat >"$dir/classes/OneNode.java" <<JAVA
import java.util.*;
import $runner;

public class OneNode {
    public static void main(String[] words) throws Exception {
        var runner = new ${runner##*.}();
        runner.onBuild((number, settings) -> {
            var seeds = new ArrayList<String>();
            var masters = new ArrayList<String>();
            for (var port : words[4].split(",")) {
                seeds.add("127.0.0.1:" + port);
                masters.add("node-" + port);
            }
            settings.put("node.name", "node-" + words[3]).put("network.host", "127.0.0.1");
            settings.put("http.port", words[2]).put("transport.port", words[3]);
            settings.putList("discovery.seed_hosts", seeds).putList("$masters", masters);
            // A full disk of this machine is no state of the cluster's.
            settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
            for (var setting : Arrays.asList(words).subList(5, words.length)) {
                var parts = setting.split("=", 2);
                settings.put(parts[0], parts[1]);
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                runner.close();
            } catch (Exception error) {
                error.printStackTrace();
            }
        }));
        runner.build("-basePath", words[0], "-clusterName", words[1], "-numOfNode", "1", "-printOnFailure");
        Thread.currentThread().join();
    }
}
JAVA
"${java}javac" -cp "$dir/jars/*" -d "$dir/classes" "$dir/classes/OneNode.java"
"${java}jar" cf "$dir/jars/node.jar" -C "$dir/classes" OneNode.class
# In a fixed order, which the archive of classes made below depends on.
classpath=$(find "$dir/jars" -name '*.jar' | sort | paste -sd:)
rm -rf "$dir/classes" "$dir/pom.xml"

# write MORE ...: the program, with more options of Java that go before what a caller may replace.
write() {
  cat >"$dir/node" <<NODE
#!/bin/sh
exec ${java}java -XX:+UseSerialGC $* \${NODE_JAVA:--Xms256m -Xmx512m -XX:TieredStopAtLevel=1} -cp $classpath OneNode "\$@"
NODE
  chmod +x "$dir/node"
}

# One start and stop writes the archive of the classes that a node loads, with which the next ones start in half the time. An archive that
# another Java made is left aside by Java itself.
write "-XX:ArchiveClassesAtExit=$dir/classes.jsa"
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
http=$(port) transport=$(port)
"$dir/node" "$home" first "$http" "$transport" "$transport" >"$home/log" 2>&1 &
node=$!
for _ in $(seq 300); do
  kill -0 "$node" 2>/dev/null || { cat "$home/log"; exit 1; }
  health=$(python3 -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:$http/_cluster/health?timeout=0s', timeout=2).read())" 2>/dev/null) || health=
  case $health in *green* | *yellow*) break ;; esac
  sleep 0.2
done
kill "$node" && wait "$node" || true
case $health in *green* | *yellow*) ;; *) cat "$home/log"; exit 1 ;; esac
[ -e "$dir/classes.jsa" ] || echo "no archive of classes was written: nodes start, but slower"
write "-XX:SharedArchiveFile=$dir/classes.jsa -Xlog:cds=off -Xlog:cds+dynamic=off"
