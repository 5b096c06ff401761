// Fastify with @fastify/jwt and pg's pool. Its serializer is compiled from schemas.
import { createRequire } from 'node:module'

const require = createRequire(process.env.NODE_FOLDER + '/')
const fastify = require('fastify')({ logger: false })
const pg = require('pg')
pg.types.setTypeParser(20, Number)

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })
const columns = 'id, email, username, full_name, is_active, is_superuser, is_verified, created_at'
const byId = { name: 'by-id', text: `SELECT ${columns} FROM users WHERE id = $1` }
const user = {
  type: 'object',
  properties: {
    id: { type: 'integer' },
    email: { type: 'string' },
    username: { type: 'string' },
    full_name: { type: ['string', 'null'] },
    is_active: { type: 'boolean' },
    is_superuser: { type: 'boolean' },
    is_verified: { type: 'boolean' },
    created_at: { type: 'string', format: 'date-time' },
  },
}
const schema = { response: { 200: user } }

async function find (id) {
  const { rows } = await pool.query({ ...byId, values: [id] })
  return rows[0]
}

async function authenticate (request, reply) {
  await request.jwtVerify()
  request.me = await find(request.user.sub)
  if (!request.me?.is_active) return reply.code(401).send({ detail: 'Could not validate credentials' })
}

fastify.register(require('@fastify/jwt'), { secret: process.env.SECRET_KEY })
fastify.get('/api/v1/users/me', { schema, onRequest: authenticate }, async (request) => request.me)
fastify.get('/api/v1/users/:id', { schema, onRequest: authenticate }, async (request, reply) => {
  return (await find(request.params.id)) ?? reply.code(404).send({ detail: 'User not found' })
})

await fastify.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
