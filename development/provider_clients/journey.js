// Use each call of node-smsc that the simulator has, and print the answers as one JSON object.
'use strict'

const smsc = require('node-smsc')

async function main (url) {
  const refused = (call) => call.then(() => null, (error) => error.response)
  const client = smsc({ request: url, login: 'sim', password: 'sim-password' })
  const stranger = smsc({ request: url, login: 'sim', password: 'wrong' })
  const phones = '+79991234567,89991234568'
  const told = {}
  told.price = await client.send({ phones, mes: 'Привет', cost: 1 })
  told.sent = await client.send({ phones, mes: 'Привет', id: 42, cost: 3 })
  told.again = await refused(client.send({ phones, mes: 'Привет', cost: 3 }))
  told.status = await client.status({ phone: '79991234567', id: '42', all: 2 })
  told.statuses = await client.status({ phone: '79991234567,79991234568,', id: '42,42,' })
  told.balance = await client.balance({ cur: 1 })
  told.refused = await refused(stranger.balance())
  told.inbox = await client.get({ get_answers: 1, hour: 1, to_phone: '79585550000' })
  told.free = await client.receive_phones({ get: 1 })
  told.rented = await client.receive_phones({ buy: 1, phone: '79585550000', noprolong: 1 })
  told.changed = await client.receive_phones({ chg: 1, phone: '79585550000', noprolong: 0 })
  console.log(JSON.stringify(told))
}

main(process.argv[2]).catch((error) => {
  console.error(error)
  process.exitCode = 1
})
