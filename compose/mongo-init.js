// For mongosh on mongo-1: makes a replica set of the three and the users, as far as they are missing. Before there is a
// user, whoever comes from mongo-1 itself may begin the set and make the first.
const { readFileSync } = require("fs");

const HOSTS = ["mongo-1:27017", "mongo-2:27017", "mongo-3:27017"];
const secret = (name) => readFileSync(`/run/secrets/${name}`, "utf8").trim();
const root = { user: "root", pwd: secret("root_password") };

const isKnown = (connection) => {
  try {
    return connection.getDB("admin").auth(root.user, root.pwd).ok === 1;
  } catch (refused) {
    if (refused.codeName === "AuthenticationFailed") return false;
    throw refused;
  }
};
const awaitState = (isReached) => {
  while (!isReached()) sleep(500);
};

const here = db.getMongo();
if (!isKnown(here)) {
  // Alone at first, so that this one is the primary for certain.
  try {
    rs.initiate({ _id: "natter", members: [{ _id: 0, host: HOSTS[0] }] });
  } catch (refused) {
    if (refused.codeName !== "AlreadyInitialized") throw refused;
  }
  awaitState(() => db.hello().isWritablePrimary);
  db.getSiblingDB("admin").createUser({ ...root, roles: ["root"] });
  print("made the replica set and its root");
}

let admin = new Mongo(`mongodb://${root.user}:${root.pwd}@${HOSTS[0]}/admin?directConnection=true`).getDB("admin");
for (const host of HOSTS) {
  // One at a time, each when the set has taken in the one before. Only a set that this script has begun lacks any, and
  // there this is the primary.
  awaitState(() => {
    const config = admin.runCommand({ replSetGetConfig: 1 }).config;
    if (config.members.some((member) => member.host === host)) return true;
    config.members.push({ _id: HOSTS.indexOf(host), host });
    config.version += 1;
    try {
      admin.runCommand({ replSetReconfig: config });
      print(`added ${host}`);
    } catch (refused) {
      print(`waiting to add ${host}: ${refused.message}`);
    }
    return false;
  });
}

admin = new Mongo(`mongodb://${root.user}:${root.pwd}@${HOSTS.join(",")}/admin?replicaSet=natter`).getDB("admin");
awaitState(() => {
  const states = admin.runCommand({ replSetGetStatus: 1 }).members.map((member) => member.stateStr);
  return states.length === HOSTS.length && states.every((state) => state === "PRIMARY" || state === "SECONDARY");
});
const natter = admin.getSiblingDB("natter");
if (natter.getUser("natter") === null) {
  natter.createUser({ user: "natter", pwd: secret("mongo_password"), roles: [{ role: "readWrite", db: "natter" }] });
  print("made the nodes' user");
}
print("the replica set is whole");
